"""Telling a process that stands still from one that is merely slow.

A stopped tracer holds every guarded program at its next spawn, so its stop must be short; a starved one will go
on by itself and must not be killed for it. The two are told apart by the process state: T (stopped) or t (held
by a tracer) is a fact, whoever is starved. Silence alone counts only after much longer, and only when the
watcher itself came in time: on a starved machine everybody is silent.
"""

import os
import signal
from pathlib import Path
from typing import Final

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux.procfs import PROC, read_stat
from outrider_wire.errors import ProcessGone, Unavailable

STANDING_NS: Final = 250_000_000
"""A process that is stopped and silent for this long is killed."""
SILENT_NS: Final = 2_000_000_000
"""So is one that is not stopped, but silent for this long."""
LATE_NS: Final = 250_000_000
"""A watcher that comes this much after its last look was starved."""


def is_hung(*, silence_ns: int, state: str, watcher_late: bool) -> bool:
    """Whether a process with this silence and state (of proc_pid_stat(5)) is to be killed."""
    if state in "Tt":
        return silence_ns >= STANDING_NS
    return silence_ns >= SILENT_NS and not watcher_late and state not in "ZX"


class Watch:
    """Watches one process by its heartbeat; reads its state only when it is late."""

    def __init__(self, pid: int, slot: Slot, *, proc: Path = PROC) -> None:
        self.pid = pid
        self._slot = slot
        self._proc = proc
        self._looked_ns = 0
        self._late_rounds = 0

    def is_standing(self, heartbeat: Heartbeat, now_ns: int) -> bool:
        """Whether the process is to be killed now. To be called often and regularly."""
        late = now_ns - self._looked_ns > LATE_NS
        self._looked_ns = now_ns
        self._late_rounds = 10 if late else max(0, self._late_rounds - 1)
        silence_ns = heartbeat.silence_ns(self._slot, now_ns)
        if silence_ns < STANDING_NS:
            return False
        try:
            state = read_stat(self.pid, proc=self._proc).state
        except (ProcessGone, Unavailable, ValueError):
            return False
        return is_hung(silence_ns=silence_ns, state=state, watcher_late=self._late_rounds > 0)


class Overseer:
    """Watches the supervisor from one of its children: who holds guarded programs up watches the watcher, too."""

    def __init__(self, supervisor_pid: int, *, proc: Path = PROC) -> None:
        self._pid = supervisor_pid
        self._watch = Watch(supervisor_pid, Slot.SUPERVISOR_BEAT, proc=proc) if supervisor_pid else None

    def is_gone(self, heartbeat: Heartbeat, now_ns: int) -> bool:
        """Whether the supervisor has ended, or stood still and was killed: it is time to end then.

        A supervisor whose pid is 0 is nobody, and never gone. To be called often and regularly.
        """
        if self._watch is None:
            return False
        if os.getppid() != self._pid:
            return True
        if heartbeat[Slot.SUPERVISOR_RESTS] or not self._watch.is_standing(heartbeat, now_ns):
            return False
        os.kill(self._pid, signal.SIGKILL)
        return True
