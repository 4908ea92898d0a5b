"""The two groups of the file watch and the bound of their queues.

Both queues are unlimited, and the bound is ours. The kernel's own (16,384 events) is less than an ordinary burst, and
says only that something was lost. What is queued is taken from the kernel as it comes, also while we are still telling
of what came before, because whoever makes an event pays for the length of the queue (see linux/fanotify.py); it waits
here, in batches. Past the bound everything is taken and counted without being looked at, which is ten times faster than
it can be made; if even that does not come to an end, all marks are taken off for a moment. The memory of a queue is
charged to our own control group, never to the guarded one; a lookout that stands still is killed by the supervisor
after 250 ms, and its queues go with it.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from outrider_sidecar.linux import fanotify
from outrider_sidecar.linux.fanotify import Fanotify, RawEvent, parse_events
from outrider_sidecar.sensors.host.opens import AT_ONCE, OpensReader, PlaceOf, Read
from outrider_sidecar.sensors.host.runs import Write

NAMES_BYTES: Final = 65_536
"""Of one read of the names group: some 500 events."""
BATCH_BYTES: Final = 131_072
BATCH_OPENS: Final = 512
"""A batch that has so much takes no more: it is told of in one turn, some 20 ms."""
CHECK_EVERY_S: Final = 0.05
"""How often the length of a queue that does not get empty is asked for: asking walks the queue with its lock held."""
SHED_S: Final = 1.0
"""Longest that a queue is emptied before all marks are taken off."""

OPENS_FLAGS: Final = fanotify.UNLIMITED_QUEUE | fanotify.UNLIMITED_MARKS
NAMES_FLAGS: Final = OPENS_FLAGS | fanotify.REPORT_NAMES


class Bounds(Struct, frozen=True):
    """How much may wait, in the kernel (events that keep a file in memory each), and here."""

    opens: int = 65_536
    taken_opens: int = 16_384
    taken_names_bytes: int = 16 * 1024 * 1024


class Batch:
    """What was taken together: the creation of every file in `writes` is in `raw`, or was told of before.

    `all_before_ns`: what happened before this is in it or in one that was taken earlier; 0 where that is not known.
    """

    __slots__ = ("all_before_ns", "overflowed", "raw", "raw_bytes", "reads", "writes")

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.reads: list[Read] = []
        self.raw: list[bytes] = []
        self.raw_bytes = 0
        self.overflowed = False
        self.all_before_ns = 0

    @property
    def is_full(self) -> bool:
        return self.raw_bytes >= BATCH_BYTES or len(self.writes) >= BATCH_OPENS

    def names(self) -> dict[bytes, list[RawEvent]]:
        """The events by name, of each file system."""
        names: dict[bytes, list[RawEvent]] = {}
        for raw in self.raw:
            for event in parse_events(raw):
                if event.fids:
                    names.setdefault(event.fids[0].fsid, []).append(event)
                self.overflowed |= bool(event.mask & fanotify.Q_OVERFLOW)
        return names


class Queues:
    """Both groups, open. Raises Unavailable. `is_ours`: whether an event by name may be of a container."""

    def __init__(
        self,
        place_of: PlaceOf,
        bounds: Bounds,
        *,
        is_ours: Callable[[RawEvent], bool],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._clock = clock
        self._bounds = bounds
        self._is_ours = is_ours
        self._checked_s = 0.0
        self._batches: deque[Batch] = deque()
        self._taken_opens = 0
        self._taken_bytes = 0
        self.all_before_ns = 0
        """All that happened before this was taken."""
        self.opens = Fanotify(OPENS_FLAGS)
        self.names = Fanotify(NAMES_FLAGS, event_flags=os.O_RDONLY)
        self.reader = OpensReader(self.opens, place_of, own_pid=os.getpid())

    def take_in(self) -> None:
        """Take what is queued, the opens group first: so the creation of every file in it is queued by then."""
        writes: list[Write] = []
        reads: list[Read] = []
        overflowed, began_ns, is_all = False, self._clock(), False
        while self._taken_opens + len(writes) < self._bounds.taken_opens:
            told = self.reader.read()
            writes += told.writes
            reads += told.reads
            overflowed |= told.overflowed
            if told.events < AT_ONCE:
                is_all = True
                break
        raw, are_all_names = self._read_names()
        if is_all and are_all_names:
            self.all_before_ns = began_ns
        if not (writes or reads or raw or overflowed):
            return
        if not self._batches or self._batches[-1].is_full:
            self._batches.append(Batch())
        batch = self._batches[-1]
        batch.writes += writes
        batch.reads += reads
        batch.raw += raw
        size = sum(map(len, raw))
        batch.raw_bytes += size
        batch.overflowed |= overflowed
        if is_all and are_all_names:
            batch.all_before_ns = began_ns
        if is_all and are_all_names:
            batch.all_before_ns = began_ns
        self._taken_opens += len(writes)
        self._taken_bytes += size

    def next(self) -> Batch | None:
        """What was taken first, to be told of; None where nothing waits."""
        if not self._batches:
            return None
        batch = self._batches.popleft()
        self._taken_opens -= len(batch.writes)
        self._taken_bytes -= batch.raw_bytes
        return batch

    @property
    def is_waiting(self) -> bool:
        """Whether something was taken and not asked for yet."""
        return bool(self._batches)

    def _read_names(self) -> tuple[list[bytes], bool]:
        """What is queued by name, and whether that is all of it."""
        taken: list[bytes] = []
        size = self._taken_bytes
        while size < self._bounds.taken_names_bytes:
            raw = self.names.read_raw(NAMES_BYTES)
            if not raw:
                return taken, True
            taken.append(raw)
            size += len(raw)
        return taken, False

    def is_past_bounds(self) -> bool:
        """Whether too much waits."""
        if self._taken_bytes >= self._bounds.taken_names_bytes:
            return True
        now_s = time.monotonic()
        if self._taken_opens < self._bounds.taken_opens or now_s - self._checked_s < CHECK_EVERY_S:
            return False
        self._checked_s = now_s
        return self.opens.pending_bytes() // fanotify.EVENT_BYTES > self._bounds.opens

    def shed(self, *, within_s: float = SHED_S) -> tuple[int, bool]:
        """Take and count what waits and what is queued; whether both queues came to an end."""
        lost, deadline_s = self._let_go(), time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            gone = self._discard()
            lost += gone
            if gone < AT_ONCE:
                return lost, True
        return lost, False

    def unmark_all(self) -> int:
        """Take every mark off, and what is queued with them; how much that was."""
        for group in (self.opens, self.names):
            group.flush()
        lost = 0
        while gone := self._discard():
            lost += gone
        return lost

    def _discard(self) -> int:
        return self.reader.discard(BATCH_OPENS) + self._count(self._read_names()[0])

    def _count(self, names: Iterable[bytes]) -> int:
        return sum(self._is_ours(event) for raw in names for event in parse_events(raw))

    def _let_go(self) -> int:
        lost = 0
        while (batch := self.next()) is not None:
            lost += len(batch.writes) + len(batch.reads) + self._count(batch.raw)
        return lost

    def close(self) -> None:
        """Give both groups back, and every mark with them."""
        for group in (self.opens, self.names):
            group.close()
