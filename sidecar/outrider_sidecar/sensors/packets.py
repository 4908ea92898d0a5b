"""The packet sensor: the taps of one network namespace, read in one thread.

What a packet means is decided in `traffic`; here it is fetched, and what the kernel had to drop is told of.
"""

import select
import threading
import time
from collections.abc import Callable
from typing import Final

from outrider_sidecar.linux.addresses import LocalAddresses
from outrider_sidecar.linux.packet import RECEIVE_BUFFER_BYTES, PacketTap
from outrider_sidecar.sensors import Capability, Emit
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_sidecar.sensors.taps import Taps
from outrider_sidecar.sensors.traffic import TrafficCounts, TrafficReader
from outrider_wire.errors import Unavailable
from outrider_wire.events import SightLost

LOST_EVERY_NS: Final = 1_000_000_000
"""Dropped packets are asked for, and told of, at most this often."""
_WAIT_MS: Final = 1000
_BURST: Final = 256
"""Packets read before `stop` and the addresses are looked at again."""


class PacketSensor:
    """Connections, DNS and TLS server names of one network namespace. Its `counts` may be read by any thread.

    `ignore` says of a pid that its traffic is not to be told of. `open` is called by a thread in the namespace to
    be watched; `run` does it where that was not done.
    """

    name = "packet"

    def __init__(
        self,
        owners: OwnerFinder,
        *,
        ignore: Callable[[int], bool] = lambda _: False,
        buffer_bytes: int = RECEIVE_BUFFER_BYTES,
    ) -> None:
        self._owners = owners
        self._ignore = ignore
        self._buffer_bytes = buffer_bytes
        self._opened: tuple[Taps, LocalAddresses, TrafficReader] | None = None
        self._told_refused = False
        self._asked_ns = time.time_ns()
        self._read_since = False
        self._lost_by_closed = 0
        self._followed_ns = 0
        self.counts = TrafficCounts()
        self.lost = 0

    def open(self) -> None:
        """Open the taps in the network namespace of the calling thread. Raises Unavailable."""
        addresses = LocalAddresses()
        try:
            taps = Taps(addresses.links, buffer_bytes=self._buffer_bytes)
        except Unavailable:
            addresses.close()
            raise
        self._owners.open()
        reader = TrafficReader(self._owners, addresses, self._ignore)
        self.counts = reader.counts
        self._opened = taps, addresses, reader

    def close(self) -> None:
        """Close the taps; `run` does so at its end."""
        if self._opened is not None:
            taps, addresses, _ = self._opened
            self._opened = None
            taps.close()
            addresses.close()
            self._owners.close()

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Block until `stop`. Raises Unavailable when the taps cannot be opened."""
        if self._opened is None:
            self.open()
        assert self._opened is not None
        taps, addresses, reader = self._opened
        try:
            while not stop.is_set():
                poller = _poller(taps, addresses)
                while not stop.is_set():
                    ready = {fd for fd, _ in poller.poll(_WAIT_MS)}
                    if addresses.fileno() in ready or self._is_retry_due(taps):
                        self._follow(taps, addresses, reader, emit)
                        break
                    for tap in taps:
                        if tap.fileno() in ready:
                            self._read_burst(tap, reader, emit)
                    if self._read_since and time.time_ns() - self._asked_ns >= LOST_EVERY_NS:
                        self._tell_lost(taps, emit)
        finally:
            self.close()

    def _is_retry_due(self, taps: Taps) -> bool:
        return taps.refused is not None and time.time_ns() - self._followed_ns >= LOST_EVERY_NS

    def _follow(self, taps: Taps, addresses: LocalAddresses, reader: TrafficReader, emit: Emit) -> None:
        self._followed_ns = time.time_ns()
        for tap in taps:
            while tap.is_over and self._read_burst(tap, reader, emit):
                pass  # by the addresses that were this network's own then
        addresses.refresh()
        for tap in taps.follow(addresses.links):
            while self._read_burst(tap, reader, emit):
                pass
            self._lost_by_closed += tap.take_lost()
            tap.close()
        if taps.refused is not None and not self._told_refused:
            reason = f"an interface has no tap: {taps.refused.reason}"
            emit(SightLost(at_ns=time.time_ns(), sense="network", reason=reason))
        self._told_refused = taps.refused is not None

    def _read_burst(self, tap: PacketTap, reader: TrafficReader, emit: Emit) -> bool:
        """Whether there may be more."""
        for _ in range(_BURST):
            if (captured := tap.receive()) is None:
                return False
            self._read_since = True
            reader.read(captured, emit)
        return True

    def _tell_lost(self, taps: Taps, emit: Emit) -> None:
        at_ns, since_ns = time.time_ns(), self._asked_ns
        self._asked_ns, self._read_since = at_ns, False
        lost = self._lost_by_closed + sum(tap.take_lost() for tap in taps)
        self._lost_by_closed = 0
        if lost:
            self.lost += lost
            reason = f"{lost} packets came faster than they were read"
            emit(SightLost(at_ns=at_ns, sense="network", reason=reason, lost=lost, since_ns=since_ns))


def _poller(taps: Taps, addresses: LocalAddresses) -> select.poll:
    """Made anew whenever the taps may have changed."""
    poller = select.poll()
    for opened in (addresses, *taps):
        poller.register(opened, select.POLLIN)
    return poller


def probe_packet() -> Capability:
    """Whether connections, DNS and TLS names can be seen here, found out by opening the tap with its filter."""
    try:
        with PacketTap() as tap:
            reason = f"AF_PACKET opened, filter attached, receive buffer {tap.buffer_bytes >> 10} KiB"
    except Unavailable as unavailable:
        return Capability("network", "packet", False, unavailable.reason, unavailable.remedy)
    return Capability("network", "packet", True, reason)
