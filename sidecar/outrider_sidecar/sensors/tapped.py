"""One network namespace that is tapped: its taps, its addresses, and what its packets tell.

What a packet means is decided in `traffic`; here it is fetched, and what the kernel had to drop is told of. Whoever
has one or many of these waits on their descriptors (`packets` for one, `namespaces` for a host's).
"""

import time
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from outrider_sidecar.linux.addresses import LocalAddresses
from outrider_sidecar.linux.packet import RECEIVE_BUFFER_BYTES, PacketTap
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_sidecar.sensors.sieve import Sieve
from outrider_sidecar.sensors.taps import Taps
from outrider_sidecar.sensors.traffic import TrafficCounts, TrafficReader
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import SightLost

LOST_EVERY_NS: Final = 1_000_000_000
"""Dropped packets are asked for, and told of, at most this often."""
_BURST: Final = 256
"""Packets read of one tap before the others, and those who wait for the reader, are looked at again."""

Inside = Callable[[], AbstractContextManager[Any]]
"""Brings the calling thread into the namespace for a while: an interface that came later is tapped there."""


class Tapped:
    """The taps of the network namespace it is made in. For one thread. Raises Unavailable.

    `ignore` says of a pid that its traffic is not to be told of. `sieve` makes, of the reader of this namespace, the
    sieve of a host's own network. It closes `owners`, which are open in this namespace. Without `taps` it reads
    nothing, and only holds what others need of a namespace.
    """

    def __init__(
        self,
        owners: OwnerFinder,
        *,
        net_ns: int = 0,
        ignore: Callable[[int], bool] = lambda _: False,
        buffer_bytes: int = RECEIVE_BUFFER_BYTES,
        inside: Inside = nullcontext,
        sieve: Callable[[TrafficReader], Sieve] | None = None,
        taps: bool = True,
    ) -> None:
        self._addresses = LocalAddresses()
        self._wants_taps = taps
        try:
            self._taps = Taps(self._addresses.links if taps else (), buffer_bytes=buffer_bytes)
        except Unavailable:
            self._addresses.close()
            raise
        self._owners = owners
        self._reader = TrafficReader(owners, self._addresses, ignore, net_ns=net_ns)
        self._sieve = sieve(self._reader) if sieve is not None else None
        self._inside = inside
        self._told_refused = self._unfollowed = False
        self._asked_ns = time.time_ns()
        self._read_since = False
        self._lost_by_closed = 0
        self._followed_ns = 0
        self.lost = 0

    @property
    def counts(self) -> TrafficCounts:
        """What was read; may be asked for by any thread."""
        return self._reader.counts

    def filenos(self) -> Iterator[int]:
        """The descriptors whose readability calls for `read`; others after each call that says so."""
        yield self._addresses.fileno()
        for tap in self._taps:
            yield tap.fileno()

    def close(self) -> None:
        """Close the taps and give the namespace free."""
        self._taps.close()
        self._addresses.close()
        self._owners.close()

    def read(self, ready: Container[int], emit: Emit) -> bool:
        """Read what waits on these descriptors. True where the descriptors changed, and the rest was left."""
        if self._addresses.fileno() in ready or self.is_retry_due():
            self._follow(emit)
            return True
        for tap in self._taps:
            if tap.fileno() in ready:
                self._read_burst(tap, emit)
        return False

    def read_all(self, emit: Emit) -> None:
        """Read whatever waits."""
        for tap in self._taps:
            while self._read_burst(tap, emit):
                pass

    def finish(self, emit: Emit) -> None:
        """Read and tell all there is: the namespace is over."""
        self.read_all(emit)
        self._tell_lost(emit)

    def tell_standing(self, emit: Emit) -> None:
        """Tell of the connections that were there before the taps; called in the namespace, just after opening."""
        standing = self._owners.connections() if self._wants_taps else []
        self.read_all(emit)
        self._reader.tell_standing(standing, time.time_ns(), emit)

    @property
    def is_restless(self) -> bool:
        """Whether `settle` may have something to tell soon, though no packet comes."""
        return self._sieve is not None and self._sieve.is_restless

    def settle(self, emit: Emit) -> None:
        """Tell what was held back long enough, and what was lost."""
        now_ns = time.time_ns()
        if self._sieve is not None:
            self._sieve.settle(now_ns, emit)
        if self._read_since and now_ns - self._asked_ns >= LOST_EVERY_NS:
            self._tell_lost(emit)

    def is_retry_due(self) -> bool:
        """Whether an interface that could not be tapped is to be tried again by `read`."""
        due = self._unfollowed or self._taps.refused is not None
        return due and time.time_ns() - self._followed_ns >= LOST_EVERY_NS

    def _follow(self, emit: Emit) -> None:
        self._followed_ns = time.time_ns()
        for tap in self._taps:
            while tap.is_over and self._read_burst(tap, emit):
                pass  # by the addresses that were this network's own then
        self._addresses.refresh()
        try:
            with self._inside():
                over = self._taps.follow(self._addresses.links if self._wants_taps else ())
            self._unfollowed = False
        except ProcessGone:
            over, self._unfollowed = [], True  # its guide ended; another is being looked for
        for tap in over:
            while self._read_burst(tap, emit):
                pass
            self._lost_by_closed += tap.take_lost()
            tap.close()
        refused = self._taps.refused
        if refused is not None and not self._told_refused:
            reason = f"an interface has no tap: {refused.reason}"
            emit(SightLost(at_ns=time.time_ns(), sense="network", reason=reason))
        self._told_refused = refused is not None

    def _read_burst(self, tap: PacketTap, emit: Emit) -> bool:
        """Whether there may be more."""
        read = self._sieve.read if self._sieve is not None else self._reader.read
        for _ in range(_BURST):
            if (captured := tap.receive()) is None:
                return False
            self._read_since = True
            read(captured, emit)
        return True

    def _tell_lost(self, emit: Emit) -> None:
        at_ns, since_ns = time.time_ns(), self._asked_ns
        self._asked_ns, self._read_since = at_ns, False
        lost = self._lost_by_closed + sum(tap.take_lost() for tap in self._taps)
        self._lost_by_closed = 0
        if lost:
            self.lost += lost
            reason = f"{lost} packets came faster than they were read"
            emit(SightLost(at_ns=at_ns, sense="network", reason=reason, lost=lost, since_ns=since_ns))
