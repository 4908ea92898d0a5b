"""TCP segments and UDP datagrams (RFC 9293, RFC 768), as far as their payload."""

import struct
from typing import Final

from msgspec import Struct

SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10

_TCP: Final = struct.Struct("!HHIIBB")
_UDP: Final = struct.Struct("!HHH")


class Segment(Struct, frozen=True, gc=False):
    """A TCP segment. `sequence` is of its first byte; `acknowledged` is the next byte awaited from the other."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledged: int
    flags: int
    payload: bytes


class Datagram(Struct, frozen=True, gc=False):
    """A UDP datagram."""

    source_port: int
    destination_port: int
    payload: bytes


def parse_segment(raw: bytes) -> Segment:
    """What an IP packet of protocol 6 carries. Raises ValueError."""
    if len(raw) < 20:
        raise ValueError(f"TCP header of {len(raw)} bytes")
    source_port, destination_port, sequence, acknowledged, offset, flags = _TCP.unpack_from(raw)
    header_bytes = (offset >> 4) * 4
    if header_bytes < 20:
        raise ValueError(f"TCP data offset of {header_bytes} bytes")
    return Segment(source_port, destination_port, sequence, acknowledged, flags, raw[header_bytes:])


def parse_datagram(raw: bytes) -> Datagram:
    """What an IP packet of protocol 17 carries. Raises ValueError."""
    if len(raw) < 8:
        raise ValueError(f"UDP header of {len(raw)} bytes")
    source_port, destination_port, length_bytes = _UDP.unpack_from(raw)
    if length_bytes < 8:
        raise ValueError(f"UDP length of {length_bytes} bytes")
    return Datagram(source_port, destination_port, raw[8:length_bytes])
