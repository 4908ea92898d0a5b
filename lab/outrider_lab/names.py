"""A stub name server: every name has one address, of a range kept for documentation.

A pure function from a question to an answer; `services` owns the socket. It understands what a resolver sends
(one question, no compression) and drops the rest, as the peers are programs of the task.
"""

import socket
import zlib
from collections.abc import Callable
from typing import Final

_A: Final = 1
_AAAA: Final = 28
_HEADER_BYTES: Final = 12
_TTL_S: Final = 60

Addresses = Callable[[bytes], str]
"""The IPv4 address of a name, given as it stands in a question."""


def address_of(name: bytes) -> str:
    """The address every question for this name gets: 192.0.2.1 to 192.0.2.250, by its spelling."""
    return f"192.0.2.{zlib.crc32(name.lower()) % 250 + 1}"


def loopback_address_of(name: bytes) -> str:
    """The same on loopback, 127.66.0.1 to 127.66.0.250: for those whose network has a way out."""
    return f"127.66.0.{zlib.crc32(name.lower()) % 250 + 1}"


def answer_question(query: bytes, addresses: Addresses = address_of) -> bytes:
    """The whole answer to a query: one A record, or none for other types. Raises ValueError for what is no query."""
    end = _end_of_question(query)
    question = query[_HEADER_BYTES:end]
    kind = int.from_bytes(question[-4:-2], "big")
    flags = 0x8180 if query[2] & 1 else 0x8080
    answers = b""
    if kind == _A:
        record = socket.inet_aton(addresses(question[:-4]))
        answers = b"\xc0\x0c" + question[-4:] + _TTL_S.to_bytes(4, "big") + len(record).to_bytes(2, "big") + record
    counts = (1, 1 if answers else 0, 0, 0)
    header = query[:2] + flags.to_bytes(2, "big") + b"".join(count.to_bytes(2, "big") for count in counts)
    return header + question + answers


def _end_of_question(query: bytes) -> int:
    """Where the one question of a query ends. Raises ValueError."""
    if len(query) < _HEADER_BYTES or query[2] & 0x80 or query[4:6] != b"\x00\x01":
        raise ValueError("not a query with one question")
    at = _HEADER_BYTES
    while at < len(query) and query[at]:
        if query[at] > 63:
            raise ValueError("a compressed name in a question")
        at += query[at] + 1
    if at + 5 > len(query):
        raise ValueError("the question is cut short")
    return at + 5
