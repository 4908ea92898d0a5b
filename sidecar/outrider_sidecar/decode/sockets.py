"""What the kernel tells of sockets: `inet_diag_msg`, `unix_diag_msg`, and the lines of /proc/net.

Layouts are those of include/uapi/linux/inet_diag.h and unix_diag.h, and proc_net(5). Addresses of IPv4 that an
IPv6 socket uses (::ffff:a.b.c.d) are shown as IPv4.
"""

import socket
import struct
import sys
from collections.abc import Collection, Mapping
from typing import Final, Literal

from msgspec.structs import replace

from outrider_wire.events import Direction, SocketFacts

InternetProtocol = Literal["tcp", "udp"]

STATES: Final = {  # include/net/tcp_states.h; UNIX and UDP sockets use the same numbers
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
    12: "NEW_SYN_RECV",
}
INET_MESSAGE_BYTES: Final = 72
UNIX_MESSAGE_BYTES: Final = 16

_INODE: Final = struct.Struct("=I")
_PORTS: Final = struct.Struct("!HH")
_INODE_AT: Final = 68

_AGO: Final = struct.Struct("=I4xI")
"""`tcpi_last_data_sent`, and `tcpi_last_data_recv` behind what was never filled in between."""
_BYTES: Final = struct.Struct("=QQ")
_SENT_AGO_AT: Final = 44
_ACKNOWLEDGED_AT: Final = 120
_RECEIVED_AT: Final = 128

_MAPPED: Final = bytes(10) + b"\xff\xff"


def address_text(raw: bytes) -> str:
    """An address of 4 or 16 bytes in network order, as text. Raises ValueError for another length."""
    if len(raw) == 16:
        if raw.startswith(_MAPPED):
            return socket.inet_ntop(socket.AF_INET, raw[12:])
        return socket.inet_ntop(socket.AF_INET6, raw)
    return socket.inet_ntop(socket.AF_INET, raw)


def inet_inode(message: bytes | memoryview) -> int:
    """The inode in an `inet_diag_msg`; 0 for a socket that no process holds (TIME_WAIT, not yet accepted)."""
    if len(message) < INET_MESSAGE_BYTES:
        raise ValueError(f"inet_diag message of {len(message)} bytes")
    return int(_INODE.unpack_from(message, _INODE_AT)[0])


def parse_inet(message: bytes | memoryview, protocol: InternetProtocol) -> SocketFacts:
    """An `inet_diag_msg`. Raises ValueError."""
    inode = inet_inode(message)
    family, state = message[0], message[1]
    size = 16 if family == socket.AF_INET6 else 4
    local_port, remote_port = _PORTS.unpack_from(message, 4)
    return SocketFacts(
        inode=inode,
        protocol=protocol,
        local=address_text(bytes(message[8 : 8 + size])),
        local_port=local_port,
        remote=address_text(bytes(message[24 : 24 + size])),
        remote_port=remote_port,
        state=STATES.get(state, str(state)),
    )


def has_heard(info: bytes | memoryview) -> bool:
    """Whether a `tcp_info` tells that we ever received data. Raises ValueError where it is short."""
    return _bytes_of(info)[1] > 0


def spoke_last(info: bytes | memoryview) -> bool:
    """Whether a `tcp_info` tells that we sent data after we last received some. Raises ValueError where it is short."""
    acknowledged_bytes, received_bytes = _bytes_of(info)
    sent_ms_ago, received_ms_ago = _AGO.unpack_from(info, _SENT_AGO_AT)
    return acknowledged_bytes > 1 and received_bytes > 0 and bool(sent_ms_ago < received_ms_ago)  # 1: our SYN


def _bytes_of(info: bytes | memoryview) -> tuple[int, int]:
    """Bytes that were acknowledged to us, and that we received."""
    if len(info) < _RECEIVED_AT + 8:
        raise ValueError(f"tcp_info of {len(info)} bytes")
    acknowledged_bytes, received_bytes = _BYTES.unpack_from(info, _ACKNOWLEDGED_AT)
    return acknowledged_bytes, received_bytes


def parse_unix(message: bytes | memoryview, peer_inode: int) -> SocketFacts:
    """A `unix_diag_msg`, with the peer found among its attributes. Raises ValueError."""
    if len(message) < UNIX_MESSAGE_BYTES:
        raise ValueError(f"unix_diag message of {len(message)} bytes")
    state = message[2]
    inode = _INODE.unpack_from(message, 4)[0]
    return SocketFacts(inode=inode, protocol="unix", state=STATES.get(state, str(state)), peer_inode=peer_inode)


def parse_proc_net(line: bytes, protocol: InternetProtocol) -> SocketFacts:
    """A line of /proc/net/{tcp,tcp6,udp,udp6}; its addresses are words in the machine's byte order.

    Raises ValueError.
    """
    words = line.split()
    if len(words) < 10:
        raise ValueError(f"socket line of {len(words)} words")
    local, local_port = _proc_address(words[1])
    remote, remote_port = _proc_address(words[2])
    state = int(words[3], 16)
    return SocketFacts(
        inode=int(words[9]),
        protocol=protocol,
        local=local,
        local_port=local_port,
        remote=remote,
        remote_port=remote_port,
        state=STATES.get(state, str(state)),
    )


def _proc_address(word: bytes) -> tuple[str, int]:
    address, colon, port = word.partition(b":")
    if not colon or len(address) not in (8, 32):
        raise ValueError(f"not an address: {word[:48]!r}")
    raw = bytes.fromhex(address.decode("ascii", "replace"))
    turned = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4)) if sys.byteorder == "little" else raw
    number = int(port, 16)
    if not 0 <= number <= 0xFFFF:
        raise ValueError(f"not a port: {port[:16]!r}")
    return address_text(turned), number


def parse_proc_unix(line: bytes) -> SocketFacts:
    """A line of /proc/net/unix, which does not tell the peer. Raises ValueError."""
    words = line.split()
    if len(words) < 7:
        raise ValueError(f"socket line of {len(words)} words")
    listening = int(words[3], 16) & 0x10000  # __SO_ACCEPTCON
    state = "LISTEN" if listening else {1: "CLOSE", 3: "ESTABLISHED"}.get(int(words[5], 16), "")
    return SocketFacts(inode=int(words[6]), protocol="unix", state=state)


def tell_direction(
    facts: SocketFacts, listeners: Mapping[int, Collection[str]], ephemeral: Collection[int]
) -> SocketFacts:
    """The same facts with who opened the connection, as far as ports tell it.

    `listeners` are the addresses of listening TCP sockets by port, `ephemeral` the ports given to sockets that
    did not ask for one. Inbound where a listening socket has the local port and address; else the end with an
    ephemeral port opened it. Where both or neither are ephemeral and the other end is elsewhere it stays
    unknown: the packet tap, which sees the SYN, knows better.
    """
    if not facts.remote_port or facts.protocol == "unix":
        return facts
    return replace(facts, direction=_direction(facts, listeners, ephemeral))


def _direction(facts: SocketFacts, listeners: Mapping[int, Collection[str]], ephemeral: Collection[int]) -> Direction:
    listening = listeners.get(facts.local_port, ()) if facts.protocol == "tcp" else ()
    if any(covers(address, facts.local) for address in listening):
        return "inbound"
    ours, theirs = facts.local_port in ephemeral, facts.remote_port in ephemeral
    if ours != theirs:
        return "outbound" if ours else "inbound"
    if facts.remote == facts.local and facts.remote_port in listeners and facts.protocol == "tcp":
        return "outbound"  # both ends are here, and the other one listens
    return "unknown"


def covers(listening: str, address: str) -> bool:
    """Whether a socket bound to `listening` takes what is sent to `address`."""
    return listening == address or listening == "::" or (listening == "0.0.0.0" and ":" not in address)
