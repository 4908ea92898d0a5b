"""The server name in a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3).

A hello may be cut where the segment ended: what is there is read, and `cut` says that more would have followed.
Any byte may stand in a name; it is shown as in a DNS name.
"""

import struct
from typing import Final

from msgspec import Struct

from outrider_sidecar.decode.dns import show_label

MAX_NAME_BYTES: Final = 255
MAX_RECORDS: Final = 64
"""TLS records joined to one hello; a sender may cut it as small as it likes, but not at our cost."""

_HANDSHAKE: Final = 0x16
_CLIENT_HELLO: Final = 0x01
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
_FIXED_BYTES: Final = 2 + 32  # version and random


class ClientHello(Struct, frozen=True, gc=False):
    """A hello: the name of the server it wants, empty where it names none or was cut before it did."""

    server_name: str = ""
    cut: bool = False


class _Cut(Exception):
    """The bytes end before the value does."""


class _Reader:
    """Reads lengths and values in turn; raises _Cut at the end of the bytes."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.offset = 0

    def take(self, size: int) -> bytes:
        value = self._raw[self.offset : self.offset + size]
        if len(value) < size:
            raise _Cut
        self.offset += size
        return value

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    @property
    def at_end(self) -> bool:
        return self.offset == len(self._raw)


def parse_client_hello(raw: bytes) -> ClientHello:
    """The payload of a TCP segment that begins with a ClientHello. Raises ValueError for anything else."""
    message, records_cut = _join_records(raw)
    if len(message) < 4 or message[0] != _CLIENT_HELLO:
        raise ValueError("not a ClientHello")
    size = int.from_bytes(message[1:4])
    body = message[4 : 4 + size]
    try:
        return ClientHello(server_name=_find_name(body))
    except _Cut:
        if len(body) >= size and not records_cut:
            raise ValueError("ClientHello ends within a value") from None
        return ClientHello(cut=True)


def _join_records(raw: bytes) -> tuple[bytes, bool]:
    """What the handshake records at the start carry, and whether the last of them is cut."""
    parts, offset = [], 0
    for _ in range(MAX_RECORDS):
        if len(raw) - offset < 5 or raw[offset] != _HANDSHAKE:
            break
        (size,) = struct.unpack_from("!H", raw, offset + 3)
        part = raw[offset + 5 : offset + 5 + size]
        parts.append(part)
        offset += 5 + size
        if len(part) < size:
            return b"".join(parts), True
    return b"".join(parts), False


def _find_name(body: bytes) -> str:
    reader = _Reader(body)
    reader.take(_FIXED_BYTES)
    reader.take(reader.number(1))  # session id
    reader.take(reader.number(2))  # cipher suites
    reader.take(reader.number(1))  # compression methods
    if reader.at_end:
        return ""  # before TLS 1.2 a hello could do without extensions
    end = reader.number(2) + reader.offset
    while reader.offset < end:
        kind, size = reader.number(2), reader.number(2)
        if kind == _SERVER_NAME:
            return _read_host_name(reader)
        reader.take(size)
    return ""


def _read_host_name(reader: _Reader) -> str:
    """The one name of a server_name extension: a list's length, the kind of name, the name's length, the name."""
    reader.take(2)
    if reader.number(1) != _HOST_NAME:
        return ""
    name = reader.take(reader.number(2))
    if len(name) > MAX_NAME_BYTES:
        raise ValueError(f"server name of {len(name)} bytes")
    return ".".join(show_label(label) for label in name.split(b".")).rstrip(".")
