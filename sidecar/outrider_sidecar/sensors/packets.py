"""The packet sensor: the tap of one network namespace, read in one thread.

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
from outrider_sidecar.sensors.traffic import TrafficCounts, TrafficReader
from outrider_wire.errors import Unavailable
from outrider_wire.events import SightLost

LOST_EVERY_NS: Final = 1_000_000_000
"""Dropped packets are asked for, and told of, at most this often."""
_WAIT_MS: Final = 250
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
        self._opened: tuple[PacketTap, LocalAddresses, TrafficReader] | None = None
        self._asked_ns = time.time_ns()
        self._read_since = False
        self.counts = TrafficCounts()
        self.lost = 0

    def open(self) -> None:
        """Open the tap in the network namespace of the calling thread. Raises Unavailable."""
        tap = PacketTap(buffer_bytes=self._buffer_bytes)
        try:
            addresses = LocalAddresses()
        except Unavailable:
            tap.close()
            raise
        self._owners.open()
        reader = TrafficReader(self._owners, addresses, self._ignore)
        self.counts = reader.counts
        self._opened = tap, addresses, reader

    def close(self) -> None:
        """Close the tap; `run` does so at its end."""
        if self._opened is not None:
            tap, addresses, _ = self._opened
            self._opened = None
            tap.close()
            addresses.close()
            self._owners.close()

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Block until `stop`. Raises Unavailable when the tap cannot be opened."""
        if self._opened is None:
            self.open()
        assert self._opened is not None
        tap, addresses, reader = self._opened
        poller = select.poll()
        poller.register(tap, select.POLLIN)
        poller.register(addresses, select.POLLIN)
        try:
            while not stop.is_set():
                ready = {fd for fd, _ in poller.poll(_WAIT_MS)}
                if addresses.fileno() in ready:
                    addresses.refresh()
                if tap.fileno() in ready:
                    self._read_burst(tap, reader, emit)
                if self._read_since and time.time_ns() - self._asked_ns >= LOST_EVERY_NS:
                    self._tell_lost(tap, emit)
        finally:
            self.close()

    def _read_burst(self, tap: PacketTap, reader: TrafficReader, emit: Emit) -> None:
        for _ in range(_BURST):
            if (captured := tap.receive()) is None:
                break
            self._read_since = True
            reader.read(captured, emit)

    def _tell_lost(self, tap: PacketTap, emit: Emit) -> None:
        at_ns, since_ns = time.time_ns(), self._asked_ns
        self._asked_ns, self._read_since = at_ns, False
        lost = tap.take_lost()
        if lost:
            self.lost += lost
            reason = f"{lost} packets came faster than they were read"
            emit(SightLost(at_ns=at_ns, sense="network", reason=reason, lost=lost, since_ns=since_ns))


def probe_packet() -> Capability:
    """Whether connections, DNS and TLS names can be seen here, found out by opening the tap with its filter."""
    try:
        with PacketTap() as tap:
            reason = f"AF_PACKET opened, filter attached, receive buffer {tap.buffer_bytes >> 10} KiB"
    except Unavailable as unavailable:
        return Capability("network", "packet", False, unavailable.reason, unavailable.remedy)
    return Capability("network", "packet", True, reason)
