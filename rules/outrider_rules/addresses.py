"""IP addresses and networks as a rule writes them and as fields give them: text in, numbers compared."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final

MAX_REMEMBERED: Final = 512
"""Addresses whose number is kept, so that ten rules that ask of one connection parse it once."""

_MAPPED = b"\0" * 10 + b"\xff\xff"


def normal_network(text: str) -> str:
    """An address or network in normal form: `10.1.2.3/8` becomes `10.0.0.0/8`, a full prefix is left out.

    Raises: ValueError when it is neither.
    """
    address, slash, prefix = text.partition("/")
    packed = _packed(address)
    bits = len(packed) * 8
    if slash and not (prefix.isascii() and prefix.isdigit() and len(prefix) <= 3 and int(prefix) <= bits):
        raise ValueError(f"{prefix} is no length of a prefix")
    length = int(prefix) if slash else bits
    number = int.from_bytes(packed, "big") >> (bits - length) << (bits - length)
    shown = inet_ntop(AF_INET if bits == 32 else AF_INET6, number.to_bytes(bits // 8, "big"))
    return shown if length == bits else f"{shown}/{length}"


def network_test(networks: Iterable[str]) -> Callable[[str], bool]:
    """A function that says whether an address is in one of some networks in normal form."""
    single: set[tuple[int, int]] = set()
    wide: list[tuple[int, int, int]] = []
    for text in networks:
        address, slash, prefix = text.partition("/")
        size, number = address_number(address)
        if slash:
            shift = size * 8 - int(prefix)
            wide.append((size, shift, number >> shift))
        else:
            single.add((size, number))

    def holds(text: str) -> bool:
        found = address_number(text)
        if found in single:
            return True
        size, number = found
        return any(number >> shift == base and size == wanted for wanted, shift, base in wide)

    return holds


@lru_cache(maxsize=MAX_REMEMBERED)
def address_number(text: str) -> tuple[int, int]:
    """Bytes and number of an address; (0, 0) for a text that is none."""
    try:
        packed = _packed(text)
    except ValueError:
        return 0, 0
    return len(packed), int.from_bytes(packed, "big")


def _packed(text: str) -> bytes:
    """The bytes of an address; an IPv4 address inside IPv6 is the IPv4 address."""
    try:
        packed = inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError) as error:
        raise ValueError(f"{text} is no address") from error
    return packed[12:] if len(packed) == 16 and packed.startswith(_MAPPED) else packed
