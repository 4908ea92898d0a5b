"""The packet sensor: the taps of one network namespace, read in one thread."""

import select
import threading
from collections.abc import Callable
from typing import Final

from outrider_sidecar.linux.netns import own_network
from outrider_sidecar.linux.packet import RECEIVE_BUFFER_BYTES, PacketTap
from outrider_sidecar.sensors import Capability, Emit
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_sidecar.sensors.tapped import Tapped
from outrider_sidecar.sensors.traffic import TrafficCounts
from outrider_wire.errors import Unavailable

_WAIT_MS: Final = 1000


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
        self._tapped: Tapped | None = None
        self.counts = TrafficCounts()
        self.lost = 0

    def open(self) -> None:
        """Open the taps in the network namespace of the calling thread. Raises Unavailable."""
        self._owners.open()
        try:
            self._tapped = Tapped(
                self._owners, net_ns=own_network(), ignore=self._ignore, buffer_bytes=self._buffer_bytes
            )
        except Unavailable:
            self._owners.close()
            raise
        self.counts = self._tapped.counts

    def close(self) -> None:
        """Close the taps; `run` does so at its end."""
        if self._tapped is not None:
            self._tapped.close()
            self._tapped = None

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Block until `stop`. Raises Unavailable when the taps cannot be opened."""
        if self._tapped is None:
            self.open()
        assert self._tapped is not None
        tapped = self._tapped
        try:
            while not stop.is_set():
                poller = select.poll()  # made anew whenever the taps may have changed
                for fd in tapped.filenos():
                    poller.register(fd, select.POLLIN)
                while not stop.is_set():
                    if tapped.read({fd for fd, _ in poller.poll(_WAIT_MS)}, emit):
                        break
                    tapped.settle(emit)
                    self.lost = tapped.lost
        finally:
            self.close()


def probe_packet() -> Capability:
    """Whether connections, DNS and TLS names can be seen here, found out by opening the tap with its filter."""
    try:
        with PacketTap() as tap:
            reason = f"AF_PACKET opened, filter attached, receive buffer {tap.buffer_bytes >> 10} KiB"
    except Unavailable as unavailable:
        return Capability("network", "packet", False, unavailable.reason, unavailable.remedy)
    return Capability("network", "packet", True, reason)
