"""The two groups of the file watch and the bound of their queues.

Both queues are unlimited, and the bound is ours. The kernel's own (16,384 events) is less than an ordinary burst, and
says only that something was lost. Ours is looked at when a turn leaves something behind: past it everything queued is
taken and counted without being looked at, which is ten times faster than it can be made. If even that does not come to
an end, all marks are taken off for a moment. The memory of a queue is charged to our own control group, never to the
guarded one; a lookout that stands still is killed by the supervisor after 250 ms, and its queues go with it.
"""

import os
import time
from typing import Final, NamedTuple

from msgspec import Struct

from outrider_sidecar.linux import fanotify
from outrider_sidecar.linux.fanotify import Fanotify, RawEvent
from outrider_sidecar.sensors.host.opens import AT_ONCE, OpensReader, PlaceOf, Read
from outrider_sidecar.sensors.host.runs import Write

NAMES_BYTES: Final = 65_536
"""Of one read of the names group: some 500 events."""
READS_EACH_TURN: Final = 8
"""Of each group: some 1,000 closed files, 4,000 names."""
CHECK_EVERY_S: Final = 0.05
"""How often the length of a queue that does not get empty is asked for: asking walks the queue with its lock held."""
SHED_S: Final = 1.0
"""Longest that a queue is emptied before all marks are taken off."""

OPENS_FLAGS: Final = fanotify.UNLIMITED_QUEUE | fanotify.UNLIMITED_MARKS
NAMES_FLAGS: Final = OPENS_FLAGS | fanotify.REPORT_NAMES


class Bounds(Struct, frozen=True):
    """How much may be queued: events with a descriptor, each of which keeps a file in memory; bytes of names."""

    opens: int = 65_536
    names_bytes: int = 16 * 1024 * 1024


class Queued(NamedTuple):
    """What one turn takes: `names` by file system; whether that was all, and whether the kernel had no memory."""

    writes: list[Write]
    reads: list[Read]
    names: dict[bytes, list[RawEvent]]
    is_all: bool
    overflowed: bool

    @property
    def is_nothing(self) -> bool:
        return self.is_all and not (self.writes or self.reads or self.names)


class Queues:
    """Both groups, open. Raises Unavailable."""

    def __init__(self, place_of: PlaceOf, bounds: Bounds) -> None:
        self._bounds = bounds
        self._checked_s = 0.0
        self.opens = Fanotify(OPENS_FLAGS)
        self.names = Fanotify(NAMES_FLAGS, event_flags=os.O_RDONLY)
        self.reader = OpensReader(self.opens, place_of, own_pid=os.getpid())

    def take(self) -> Queued:
        """The next of both: the opens group first, so that the creation of every file in it is queued by then."""
        writes: list[Write] = []
        reads: list[Read] = []
        opens_empty = names_empty = overflowed = False
        for _ in range(READS_EACH_TURN):
            told = self.reader.read()
            writes += told.writes
            reads += told.reads
            overflowed |= told.overflowed
            opens_empty = told.events < AT_ONCE
            if opens_empty:
                break
        names: dict[bytes, list[RawEvent]] = {}
        for _ in range(READS_EACH_TURN):
            events = self.names.read(NAMES_BYTES)
            names_empty = not events
            if names_empty:
                break
            for event in events:
                if event.fids:
                    names.setdefault(event.fids[0].fsid, []).append(event)
                overflowed |= bool(event.mask & fanotify.Q_OVERFLOW)
        return Queued(writes, reads, names, opens_empty and names_empty, overflowed)

    def is_past_bounds(self) -> bool:
        """Whether too much is queued; asked only now and then."""
        now_s = time.monotonic()
        if now_s - self._checked_s < CHECK_EVERY_S:
            return False
        self._checked_s = now_s
        queued = self.opens.pending_bytes() // fanotify.EVENT_BYTES
        return queued > self._bounds.opens or self.names.pending_bytes() > self._bounds.names_bytes

    def shed(self, *, within_s: float = SHED_S) -> tuple[int, bool]:
        """Take and count what is queued; whether both queues came to an end."""
        lost, deadline_s = 0, time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            gone = self.reader.discard(AT_ONCE * READS_EACH_TURN)
            for _ in range(READS_EACH_TURN):
                events = self.names.read(NAMES_BYTES)
                gone += len(events)
                if not events:
                    break
            lost += gone
            if gone < AT_ONCE:
                return lost, True
        return lost, False

    def unmark_all(self) -> int:
        """Take every mark off, and what is queued with them; how much that was."""
        for group in (self.opens, self.names):
            group.flush()
        lost = 0
        while True:
            gone = self.reader.discard(AT_ONCE) + len(self.names.read(NAMES_BYTES))
            lost += gone
            if not gone:
                return lost

    def close(self) -> None:
        for group in (self.opens, self.names):
            group.close()
