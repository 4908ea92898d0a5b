"""The taps of one network namespace: one on each interface, following them as they come and go.

One tap on everything would do, and takes their place where there are very many interfaces. But it makes the kernel
clone each packet that leaves, over loopback too, where it is shown again as it arrives (see `linux/packet.py`).
Loopback with a tap of its own is spared that. And each tap sees both directions, so that a question and its answer
over one interface are read in their order.

An interface is tapped as soon as rtnetlink tells of it, mostly before it is brought up; what it carries before that
is not seen.
"""

import errno
from collections.abc import Iterable, Iterator
from typing import Final

from outrider_sidecar.linux.packet import EVERYWHERE, RECEIVE_BUFFER_BYTES, PacketTap
from outrider_wire.errors import Unavailable

MAX_TAPS: Final = 32
"""Beyond so many interfaces one tap on everything takes their place, for good."""


class Taps:
    """The taps of the network namespace it is made in. For one thread. Raises Unavailable.

    `refused` is why an interface that came later has no tap, until a call of `follow` succeeds.
    """

    def __init__(self, links: Iterable[int], *, buffer_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        self._buffer_bytes = buffer_bytes
        self._taps: dict[int, PacketTap] = {}
        self.refused: Unavailable | None = None
        self.follow(links)
        if self.refused is not None:
            self.close()
            raise self.refused

    def __iter__(self) -> Iterator[PacketTap]:
        return iter(tuple(self._taps.values()))

    def follow(self, links: Iterable[int]) -> list[PacketTap]:
        """Tap the interfaces of these indexes and no others. Gives the taps that are over, to be emptied and closed."""
        wanted = set(links)
        if len(wanted) > MAX_TAPS or EVERYWHERE in self._taps:
            wanted = {EVERYWHERE}
        over = [tap for tap in self._taps.values() if tap.is_over]
        for tap in over:
            del self._taps[tap.interface]
        try:
            for interface in sorted(wanted - self._taps.keys()):
                self._open(interface)
        except Unavailable as unavailable:
            self.refused = unavailable
            return over
        self.refused = None
        return over + [self._taps.pop(interface) for interface in self._taps.keys() - wanted]

    def close(self) -> None:
        for tap in self._taps.values():
            tap.close()
        self._taps.clear()

    def _open(self, interface: int) -> None:
        try:
            self._taps[interface] = PacketTap(interface, buffer_bytes=self._buffer_bytes)
        except OSError as error:
            if error.errno != errno.ENODEV:  # gone again already
                raise
