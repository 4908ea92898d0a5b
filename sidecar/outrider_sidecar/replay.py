"""Judging what an earlier engine died before it judged: the flight recorder's tail, told to the engine once.

It waits for the tracer's first look around, so that containers and ancestors are known again, and tells the end of
those processes that are gone by now: nobody else will.
"""

from collections.abc import Sequence
from typing import Final

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux.procfs import read_stat
from outrider_sidecar.recorder import Recorder
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import (
    Event,
    ProcessExecuted,
    ProcessExited,
    ProcessId,
    ProcessReleased,
    ProcessStarted,
)

TRACED: Final = (ProcessStarted, ProcessExecuted, ProcessExited, ProcessReleased)
"""Events of the tracer alone: the recorder's order of time holds for these."""
SETTLING_ROUNDS: Final = 2
"""Chores from the tracer's first look on until what it told has been taken in."""
MAX_ROUNDS: Final = 16
"""Chores after which a tracer that does not come is not waited for."""


class Replay:
    """Belongs to the engine's thread: `chore` a few times a second, `judged` after each event."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._tail = [event for event in recorder.unjudged() if isinstance(event, TRACED)]
        self._rounds = 0
        self._settled = 0

    def due(self, heartbeat: Heartbeat) -> list[Event]:
        """What is to be judged now: the whole tail, once, with the ends that nobody saw."""
        if not self._tail:
            return []
        self._rounds += 1
        self._settled += heartbeat[Slot.TRACER_READY] == heartbeat[Slot.TRACER_STARTS]
        if self._settled < SETTLING_ROUNDS and self._rounds < MAX_ROUNDS:
            return []
        tail, self._tail = self._tail, []
        return [*tail, *unseen_ends(tail)]

    def judged(self, event: Event, waiting_since_ns: int | None) -> None:
        """Note that everything up to this event is judged, but for what waits."""
        if not self._tail and isinstance(event, TRACED):
            self._recorder.judged_ns = event.at_ns if waiting_since_ns is None else waiting_since_ns - 1


def unseen_ends(tail: Sequence[Event]) -> list[Event]:
    """The ends of those processes of the tail that are gone, and of whose end it does not tell."""
    last_ns: dict[ProcessId, int] = {}
    for event in tail:
        if isinstance(event, ProcessExited):
            last_ns.pop(event.process, None)
        elif isinstance(event, TRACED):
            last_ns[event.process] = event.at_ns
    return [ProcessExited(at_ns, process) for process, at_ns in last_ns.items() if not _lives(process)]


def _lives(process: ProcessId) -> bool:
    try:
        return read_stat(process.pid).start_ticks == process.start_ticks
    except (ProcessGone, Unavailable, ValueError):
        return False
