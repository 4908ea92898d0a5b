"""What the lookout tells: the events of a process, put into the outlet in an order that can be understood.

A process is told of late (see people.py), but always before anything else about it, and its parent before it.
"""

import time
from pathlib import Path

import msgspec
from msgspec import Struct

from outrider_sidecar.linux.execfacts import Captured, FactReader
from outrider_sidecar.linux.procfs import PROC, read_stat
from outrider_sidecar.sensors.attach.outlet import SENSE, Outlet
from outrider_sidecar.sensors.host.census import NEAR_NS, Census
from outrider_sidecar.sensors.host.clock import Clock
from outrider_sidecar.sensors.host.facts import Match, complete, is_one_start, match_opened
from outrider_sidecar.sensors.host.options import Marks
from outrider_sidecar.sensors.host.people import Live, People
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import (
    ProcessExecuted,
    ProcessExited,
    ProcessId,
    ProcessStarted,
    Seen,
    SightLost,
)


class Counts(Struct):
    """How much was known of the execs that were seen; see `facts.Grade`."""

    seen: int = 0
    whole: int = 0
    completed: int = 0
    poor: int = 0


class Teller:
    """Makes events of what is known of processes."""

    def __init__(
        self,
        outlet: Outlet,
        reader: FactReader,
        people: People,
        census: Census,
        marks: Marks,
        clock: Clock,
        *,
        proc: Path = PROC,
    ) -> None:
        self._outlet = outlet
        self._reader = reader
        self._people = people
        self._census = census
        self._marks = marks
        self._clock = clock
        self._proc = proc
        self.counts = Counts()
        self.processes_seen = 0

    def started(self, live: Live) -> None:
        """Tell of a process that was forked, if that was not done yet."""
        if live.told:
            return
        live.told = True
        if self._people.fresh.get(live.pid) is live:
            del self._people.fresh[live.pid]
        self.processes_seen += 1
        process, parent = self.identify(live), self._parent(live)
        at_ns = self._clock.epoch(live.born_ns or live.known_ns)
        self._outlet.put(ProcessStarted(at_ns, process, parent, mnt_ns=live.mnt_ns))

    def executed(self, live: Live, captured: Captured, *, at_ns: int, after_ns: int, later: int, is_late: bool) -> None:
        """Tell of a program that was started; `later` execs of the same process are to be told of after it.

        `is_late`: it was read so late that it may be another program. `at_ns` is when it was started, `after_ns` when
        the process was forked or started what it ran before. What it opened counts only where all of that was seen, or
        it can be of this exec alone, and nothing of it can have been thrown away with what an earlier exec opened.
        """
        self.started(live)
        event = captured.event(self._parent(live))
        match = Match()
        opened = self._marks.opened_by(live.pid)
        is_seen = self._census.saw_opens(live.mnt_ns, after_ns)
        if not is_seen and not later and is_one_start(opened):
            is_seen = self._census.saw_opens_of(live.mnt_ns, at_ns)
        if is_seen and live.forgot_ns + NEAR_NS < at_ns:
            match = match_opened(opened, event, later=later, is_late=is_late)
        self._marks.forget(live.pid)
        live.forgot_ns = time.monotonic_ns()
        event, grade = complete(event, match, live.runs)
        event = msgspec.structs.replace(event, process=self.identify(live), mnt_ns=event.mnt_ns or live.mnt_ns)
        self.counts.seen += 1
        setattr(self.counts, grade, getattr(self.counts, grade) + 1)
        live.runs = event
        self._outlet.put(event)

    def found(self, live: Live, event: ProcessExecuted, seen: Seen) -> None:
        """Tell of a process that was running when it was first seen, or of what it is found to run now."""
        if not live.told:
            live.told = True
            self._people.fresh.pop(live.pid, None)
            self.processes_seen += 1
        live.runs = event
        self._outlet.put(ProcessStarted(event.at_ns, event.process, event.parent, seen, event.mnt_ns))
        self._outlet.put(event)

    def exited(self, live: Live, status: int | None, at_ns: int) -> None:
        """Tell that a process ended, and forget it."""
        self.started(live)
        self._outlet.put(ProcessExited(self._clock.epoch(at_ns), self.identify(live), status))
        self._marks.forget(live.pid)
        self._people.drop(live)
        self.left(live.mnt_ns)

    def left(self, mnt_ns: int) -> None:
        """Count a process out of its container."""
        if self._census.leave(mnt_ns):
            self._marks.remove_container(mnt_ns)
            self._reader.forget_namespace(mnt_ns)

    def forget(self, pid: int) -> None:
        """A process ended of which nothing is told."""
        self._marks.forget(pid)

    def lost_sight(self, reason: str, lost: int | None = None, since_ns: int = 0, *, sense: str = SENSE) -> None:
        """Tell that something was not seen; `since_ns` of CLOCK_MONOTONIC."""
        now_ns = self._clock.now_ns()
        self._outlet.put(SightLost(now_ns, sense, reason, lost, self._clock.epoch(since_ns) if since_ns else 0))

    def identify(self, live: Live) -> ProcessId:
        """Who a process is for ever: by its stat, or by the time of its fork where it is gone."""
        if live.process is None:
            try:
                found = read_stat(live.pid, proc=self._proc).process
            except (ProcessGone, Unavailable, ValueError):
                found = None
            if found is None or not self._clock.is_same_start(found.start_ticks, live.born_ns):
                found = ProcessId(live.pid, self._clock.start_ticks(live.born_ns))
            live.process = found
        return live.process

    def _parent(self, live: Live) -> ProcessId | None:
        if live.parent is not None:
            self.started(live.parent)
            live.parent_process = live.parent.process
            live.parent = None  # one link is enough: a chain of them would keep every ancestor in memory
        return live.parent_process
