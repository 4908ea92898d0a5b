"""Which addresses and interfaces this network namespace has: rtnetlink(7), RTM_GETADDR and RTM_GETLINK.

The direction of a connection is told by whose address sent the SYN. Interfaces come and go, so a second socket
subscribes to changes of both and becomes readable when they must be read anew. All of 127.0.0.0/8 is local
whether or not an interface lists it. An address that the namespace merely routes is not local: a forwarded
connection belongs to the namespace that sent it.
"""

import socket
import struct
from typing import Final

from outrider_sidecar.linux.netlink import NetlinkSocket, split_attributes
from outrider_wire.errors import Unavailable

_NETLINK_ROUTE: Final = 0
_GROUPS: Final = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_RTM_NEWLINK: Final = 16
_RTM_GETLINK: Final = 18
_RTM_NEWADDR: Final = 20
_RTM_GETADDR: Final = 22
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFADDRMSG_BYTES: Final = 8
_LINK: Final = struct.Struct("=BxHiII")  # struct ifinfomsg
_SIZES: Final[dict[int, int]] = {socket.AF_INET: 4, socket.AF_INET6: 16}


class LocalAddresses:
    """The addresses of the network namespace it is made in, and its interfaces. For one thread. Raises Unavailable.

    `links` has the indexes of all interfaces, up or down.
    """

    def __init__(self) -> None:
        try:
            self._questions = NetlinkSocket(_NETLINK_ROUTE)
            self._changes = NetlinkSocket(_NETLINK_ROUTE, groups=_GROUPS)
            self._addresses, self.links = self._read(), self._read_links()
        except OSError as error:
            raise Unavailable(f"the addresses of this network could not be listed: {error}") from error

    def fileno(self) -> int:
        """Readable when `refresh` is due."""
        return self._changes.fileno()

    def close(self) -> None:
        self._questions.close()
        self._changes.close()

    def refresh(self) -> None:
        """Read all anew; where the kernel cannot list them just now, the known ones stay."""
        try:
            self._changes.drain()
            self._addresses, self.links = self._read(), self._read_links()
        except OSError:
            return  # a dump that did not come to its end; the next change asks again

    def __contains__(self, address: object) -> bool:
        return address in self._addresses or (isinstance(address, str) and address.startswith("127."))

    def _read(self) -> frozenset[str]:
        found = set()
        for kind, body in self._questions.ask(_RTM_GETADDR, struct.pack("=BBBBI", 0, 0, 0, 0, 0), dump=True):
            if kind == _RTM_NEWADDR and len(body) >= _IFADDRMSG_BYTES:
                values = dict(split_attributes(body[_IFADDRMSG_BYTES:]))
                # of a point-to-point link, IFA_ADDRESS is the other end and IFA_LOCAL ours
                value = values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS))
                if value is not None and len(value) == _SIZES.get(body[0]):
                    found.add(socket.inet_ntop(body[0], value))
        return frozenset(found)

    def _read_links(self) -> frozenset[int]:
        asked = self._questions.ask(_RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0), dump=True)
        return frozenset(
            _LINK.unpack_from(body)[2] for kind, body in asked if kind == _RTM_NEWLINK and len(body) >= _LINK.size
        )
