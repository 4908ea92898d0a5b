"""Where a request comes from: the address that limits are counted by, also behind a load balancer.

`X-Forwarded-For` is what anybody may write. So it is read from its end, and only as far as those who wrote it are
trusted: a load balancer adds the address that it was asked from behind what was there already.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.types import Scope

from outrider_wire.errors import ConfigError

Network = IPv4Network | IPv6Network

MAX_HOPS: Final = 16
"""Addresses looked at, from the end."""


def read_networks(text: str) -> tuple[Network, ...]:
    """Networks of a setting, comma-separated; a lone address is one. Raises ConfigError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    try:
        return tuple(ip_network(word) for word in words)
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: {error}") from error


def origin_of(scope: Scope, trusted: tuple[Network, ...]) -> str:
    """The address that a request comes from, empty where there is none.

    It is the peer's, or if that is trusted the last one of `X-Forwarded-For` that is not. What makes no sense there
    ends the search: then it is the last that did.
    """
    peer = str(scope["client"][0]) if scope.get("client") else ""
    if not trusted or not _is_in(peer, trusted):
        return peer
    found = peer
    for word in _forwarded(scope["headers"]):
        address = _address(word)
        if not address:
            break
        found = address
        if not _is_in(address, trusted):
            break
    return found


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The addresses as they are written, the last one first."""
    lines = [value for name, value in headers if name == b"x-forwarded-for"]
    words = b",".join(lines).rsplit(b",", MAX_HOPS)[-MAX_HOPS:]
    return [word.strip().decode("ascii", "replace") for word in reversed(words)]


def _address(word: str) -> str:
    """An address without the port that some write behind it; empty for what is none."""
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        return str(ip_address(word.partition("%")[0]))
    except ValueError:
        return ""


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in networks)
