"""A page of memory that the sidecar's processes share: who is alive, and a few numbers.

An anonymous shared mapping made before the first fork: no file, no descriptor, nothing for the guarded program
to find. Each slot is one aligned word of 8 bytes, written by one process and read by the others, so a reader
sees the old value or the new one and never half of either.

Beats are CLOCK_MONOTONIC in nanoseconds: one clock for all processes of a machine.
"""

import mmap
import time
from enum import IntEnum, unique
from typing import Final

SLOT_BYTES: Final = 8


@unique
class Slot(IntEnum):
    """What stands where; the comment names the writer."""

    SUPERVISOR_BEAT = 0  # supervisor
    TRACER_BEAT = 1  # tracer
    ENGINE_BEAT = 2  # engine
    TRACER_STARTS = 3  # supervisor: how often it was started; 1 is the first
    ENGINE_STARTS = 4  # supervisor
    TRACER_READY = 5  # tracer: the value of TRACER_STARTS whose first look around is done
    LIBRARIES_WANTED = 6  # engine: exit stops should tell of mapped libraries
    STOPPING = 7  # supervisor: SIGTERM has come; 1 while guarding goes on, 2 when it is time to go
    GUARDED = 8  # tracer, or the engine where there is none: processes it sees now
    TRACED_THREADS = 9  # tracer
    EVENTS_LOST = 10  # tracer: events dropped since the first start, over all of its lives
    STOPS = 11  # tracer: ptrace stops handled in this life
    SUPERVISOR_RESTS = 12  # supervisor: it is about to stop itself, on purpose (Ctrl-Z in `watch`)
    PROCESSES_SEEN = 13  # tracer: processes started, in this life
    GATE_BEAT = 14  # gate
    GATE_STARTS = 15  # supervisor
    EXECS_SEEN = 16  # lookout: programs whose start was seen, over all of its lives
    EXECS_COMPLETED = 17  # lookout: of them, not all could be read of the process, but which program it was is known
    EXECS_POOR = 18  # lookout: of them, not even that


class Heartbeat:
    """The shared words. Made once, by the supervisor, before it forks."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._words = memoryview(self._page).cast("Q")

    def __getitem__(self, slot: Slot) -> int:
        return self._words[slot]

    def __setitem__(self, slot: Slot, value: int) -> None:
        self._words[slot] = value

    def beat(self, slot: Slot, now_ns: int | None = None) -> None:
        """Say that the calling process moves."""
        self._words[slot] = time.monotonic_ns() if now_ns is None else now_ns

    def silence_ns(self, slot: Slot, now_ns: int) -> int:
        """How long a process has not said that it moves."""
        return max(0, now_ns - self._words[slot])
