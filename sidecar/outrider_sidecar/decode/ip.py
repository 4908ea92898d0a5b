"""IPv4 and IPv6 headers (RFC 791, RFC 8200), as far as the ports of what they carry."""

import socket
import struct
from typing import Final

from msgspec import Struct

TCP: Final = 6
UDP: Final = 17
MAX_EXTENSIONS: Final = 8
"""Most IPv6 extension headers walked; RFC 8200 knows no reason for more."""

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60


class IpPacket(Struct, frozen=True, gc=False):
    """A packet: addresses as text, the number of the protocol carried, and its bytes as far as they were kept."""

    source: str
    destination: str
    protocol: int
    payload: bytes


def parse_ip(raw: bytes) -> IpPacket:
    """A packet of either version. Link padding is cut off. Raises ValueError, also for later fragments."""
    if not raw:
        raise ValueError("empty packet")
    version = raw[0] >> 4
    if version == 4:
        return _parse_ipv4(raw)
    if version == 6:
        return _parse_ipv6(raw)
    raise ValueError(f"IP version {version}")


def _parse_ipv4(raw: bytes) -> IpPacket:
    if len(raw) < 20:
        raise ValueError(f"IPv4 header of {len(raw)} bytes")
    header_bytes = (raw[0] & 0xF) * 4
    (total_bytes,) = struct.unpack_from("!H", raw, 2)
    (fragment,) = struct.unpack_from("!H", raw, 6)
    total_bytes = total_bytes or len(raw)  # 0 where the card is to cut one large packet into many
    if header_bytes < 20 or total_bytes < header_bytes:
        raise ValueError(f"IPv4 lengths: header {header_bytes}, total {total_bytes}")
    if fragment & 0x1FFF:
        raise ValueError("later fragment")
    return IpPacket(
        source=socket.inet_ntop(socket.AF_INET, raw[12:16]),
        destination=socket.inet_ntop(socket.AF_INET, raw[16:20]),
        protocol=raw[9],
        payload=raw[header_bytes:total_bytes],
    )


def _parse_ipv6(raw: bytes) -> IpPacket:
    if len(raw) < 40:
        raise ValueError(f"IPv6 header of {len(raw)} bytes")
    (payload_bytes,) = struct.unpack_from("!H", raw, 4)
    end = 40 + payload_bytes if payload_bytes else len(raw)  # 0 in a jumbogram
    protocol, start = _skip_extensions(raw[:end])
    return IpPacket(
        source=socket.inet_ntop(socket.AF_INET6, raw[8:24]),
        destination=socket.inet_ntop(socket.AF_INET6, raw[24:40]),
        protocol=protocol,
        payload=raw[start:end],
    )


def _skip_extensions(raw: bytes) -> tuple[int, int]:
    """The number of the protocol that the extension headers end in, and where it begins."""
    protocol, start = raw[6], 40
    for _ in range(MAX_EXTENSIONS):
        if protocol not in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION):
            return protocol, start
        if start + 8 > len(raw):
            raise ValueError("IPv6 extension header is cut")
        if protocol == _FRAGMENT:
            if struct.unpack_from("!H", raw, start + 2)[0] & 0xFFF8:
                raise ValueError("later fragment")
            length = 8
        elif protocol == _AUTHENTICATION:
            length = (raw[start + 1] + 2) * 4
        else:
            length = (raw[start + 1] + 1) * 8
        protocol, start = raw[start], start + length
    raise ValueError(f"more than {MAX_EXTENSIONS} IPv6 extension headers")
