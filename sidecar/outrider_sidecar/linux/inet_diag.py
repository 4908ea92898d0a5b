"""Questions about sockets over NETLINK_SOCK_DIAG: sock_diag(7), `inet_diag_req_v2` and `unix_diag_req`.

Facts that shape this file:

- A dump walks the kernel's tables and is cheap; it can be narrowed in the kernel by state and by local port, not
  by inode. For TCP a question about one connection, without NLM_F_DUMP, is a hash look-up of some microseconds.
- That look-up falls back to the listening socket that would take the packet, as the kernel itself does.
- A connection between SYN and accept(2), and one in TIME_WAIT, has no inode: no process holds it. The inode is 0.
- A socket bound to an interface (and any link-local one) is found only when the interface's index is asked for;
  other sockets do not mind being asked for one.
- An IPv6 socket that speaks to an IPv4 address is found under IPv4, and reported as IPv6 with ::ffff: addresses.
- A UNIX socket is found by its inode, and its peer is an attribute (UDIAG_SHOW_PEER).
- No privilege is needed: the answers are about the network namespace of the thread that opened the socket.
"""

import errno
import socket
import struct
import sys
from collections.abc import Collection, Iterator
from typing import Final

from outrider_sidecar.decode.sockets import (
    INET_MESSAGE_BYTES,
    UNIX_MESSAGE_BYTES,
    InternetProtocol,
    has_heard,
    inet_inode,
    parse_inet,
    parse_unix,
    spoke_last,
)
from outrider_sidecar.linux.netlink import NetlinkSocket, split_attributes
from outrider_wire.events import SocketFacts

_NETLINK_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_ALL_STATES: Final = 0xFFFFFFFF
_LISTEN: Final = 1 << 10
_NO_COOKIE: Final = b"\xff" * 8
_UDIAG_SHOW_PEER: Final = 4
_UNIX_DIAG_PEER: Final = 2
_INET_DIAG_INFO: Final = 2
_NUMBERS: Final[dict[InternetProtocol, int]] = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_FEW_INODES: Final = 8
"""Up to so many UNIX sockets are asked for one by one; more by a dump."""


class InetDiag:
    """Sockets as sock_diag tells of them, without direction. For one thread. Raises OSError where refused."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(_NETLINK_SOCK_DIAG)

    def close(self) -> None:
        self._netlink.close()

    def internet(
        self, protocol: InternetProtocol, *, inodes: Collection[int] | None = None, local_port: int = 0
    ) -> Iterator[SocketFacts]:
        """Sockets of one protocol: all, those with `inodes`, or those on `local_port`."""
        return self._dump(protocol, _ALL_STATES, inodes, local_port)

    def listeners(self) -> Iterator[SocketFacts]:
        """Listening TCP sockets."""
        return self._dump("tcp", _LISTEN, None, 0)

    def unix(self, inodes: Collection[int] | None = None) -> Iterator[SocketFacts]:
        """UNIX sockets: all, or those with `inodes`."""
        if inodes is not None and len(inodes) <= _FEW_INODES:
            for inode in inodes:
                try:
                    yield from self._ask_unix(inode)
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.ESTALE):
                        raise
            return
        for facts in self._ask_unix(0):
            if inodes is None or facts.inode in inodes:
                yield facts

    def connection(
        self, local: str, local_port: int, remote: str, remote_port: int, *, interface: int = 0
    ) -> SocketFacts | None:
        """The TCP socket that takes what `remote` sends to `local`: the connection, else its listener."""
        family = socket.AF_INET6 if ":" in local else socket.AF_INET
        identity = _identity(
            local_port, remote_port, socket.inet_pton(family, local), socket.inet_pton(family, remote), interface
        )
        try:
            for _, body in self._netlink.ask(_BY_FAMILY, _request(family, "tcp", _ALL_STATES, identity)):
                return parse_inet(body, "tcp")
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        return None

    def spoke_last(self, connection: SocketFacts) -> bool:
        """Whether we sent data on a TCP connection after we last received some there; False where it is gone."""
        info = self._info(connection)
        return info is not None and spoke_last(info)

    def has_heard(self, connection: SocketFacts) -> bool:
        """Whether we ever received data on a TCP connection; True where it is gone."""
        info = self._info(connection)
        return info is None or has_heard(info)

    def _info(self, connection: SocketFacts) -> memoryview | None:
        """The connection's `tcp_info`. Asked of one at a time: the kernel locks each that it tells this of."""
        family = socket.AF_INET6 if ":" in connection.local else socket.AF_INET
        local, remote = (socket.inet_pton(family, text) for text in (connection.local, connection.remote))
        identity = _identity(connection.local_port, connection.remote_port, local, remote, 0)
        request = _request(family, "tcp", _ALL_STATES, identity, extensions=1 << (_INET_DIAG_INFO - 1))
        try:
            for _, body in self._netlink.ask(_BY_FAMILY, request):
                info = dict(split_attributes(body[INET_MESSAGE_BYTES:])).get(_INET_DIAG_INFO)
                return info if inet_inode(body) == connection.inode else None
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        return None

    def _dump(
        self, protocol: InternetProtocol, states: int, inodes: Collection[int] | None, local_port: int
    ) -> Iterator[SocketFacts]:
        identity = _identity(local_port, 0, b"", b"", 0)
        for family in _FAMILIES:
            request = _request(family, protocol, states, identity)
            for _, body in self._netlink.ask(_BY_FAMILY, request, dump=True):
                if inodes is None or inet_inode(body) in inodes:
                    yield parse_inet(body, protocol)

    def _ask_unix(self, inode: int) -> Iterator[SocketFacts]:
        request = struct.pack("=BBHIII8s", socket.AF_UNIX, 0, 0, _ALL_STATES, inode, _UDIAG_SHOW_PEER, _NO_COOKIE)
        for _, body in self._netlink.ask(_BY_FAMILY, request, dump=not inode):
            peer = dict(split_attributes(body[UNIX_MESSAGE_BYTES:])).get(_UNIX_DIAG_PEER)
            yield parse_unix(body, int.from_bytes(peer[:4], sys.byteorder) if peer is not None else 0)


def _identity(local_port: int, remote_port: int, local: bytes, remote: bytes, interface: int) -> bytes:
    """`struct inet_diag_sockid`."""
    ports = struct.pack("!HH", local_port, remote_port)
    return ports + struct.pack("=16s16sI8s", local, remote, interface, _NO_COOKIE)


def _request(family: int, protocol: InternetProtocol, states: int, identity: bytes, *, extensions: int = 0) -> bytes:
    """`struct inet_diag_req_v2`."""
    return struct.pack("=BBBBI", family, _NUMBERS[protocol], extensions, 0, states) + identity
