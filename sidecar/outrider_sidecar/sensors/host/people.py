"""Whom the lookout follows: one `Live` for each process, and the table of them. No system call here.

What a process is called for ever (`process`) is known late: its start time is in /proc/PID/stat, and most processes
start a program at once and have it read then anyway. Until then the time of its fork message stands for it, which is
the same but for the microseconds between the two.
"""

from typing import Final

from outrider_wire.events import Descriptor, ProcessExecuted, ProcessId

MAX_PEOPLE: Final = 65_536
MAX_STRANGERS: Final = 8_192
"""Most processes remembered of which nothing is told: when they began, if they enter a container."""


class Live:
    """One process. Times are CLOCK_MONOTONIC; what a message told of before `known_ns` is known already."""

    __slots__ = (
        *("born_ns", "ended", "exe", "forgot_ns", "known_ns", "met", "mnt_ns", "parent", "parent_process", "pid"),
        *("pidfd", "process", "runs", "stdio", "threaded", "told"),
    )

    def __init__(self, pid: int, known_ns: int, *, parent: "Live | None" = None, born_ns: int = 0) -> None:
        self.pid = pid
        self.known_ns = known_ns
        self.born_ns = born_ns
        self.parent = parent
        self.parent_process: ProcessId | None = None
        self.process: ProcessId | None = None
        self.told = False
        self.threaded = not born_ns
        """Whether it may have more threads than one; of who was found running that is not known."""
        self.ended = False
        self.met = False
        """Whether it came from outside, and no exec of it was told of yet: it may have started something before."""
        self.mnt_ns: int = parent.mnt_ns if parent else 0
        self.exe: tuple[int, int] = parent.exe if parent else (0, 0)
        """Device and inode of its program, as last read."""
        self.stdio: tuple[Descriptor, ...] = parent.stdio if parent else ()
        self.runs: ProcessExecuted | None = parent.runs if parent else None
        """What it, or before its first exec its parent, was told to run."""
        self.forgot_ns = 0
        """When an exec of it was told of last, and what it had opened until then was forgotten."""
        self.pidfd = -1


class People:
    """Everybody who is followed, by pid; `fresh` are those not told of yet, `strangers` when the others were forked."""

    def __init__(self) -> None:
        self.by_pid: dict[int, Live] = {}
        self.fresh: dict[int, Live] = {}
        self.strangers: dict[int, int] = {}
        self.left_out = 0

    def add(self, live: Live) -> bool:
        """Follow a process, unless there are too many."""
        if len(self.by_pid) >= MAX_PEOPLE:
            self.left_out += 1
            return False
        self.by_pid[live.pid] = live
        if not live.told:
            self.fresh[live.pid] = live
        self.strangers.pop(live.pid, None)
        return True

    def drop(self, live: Live) -> None:
        """Follow it no more."""
        if self.by_pid.get(live.pid) is live:
            del self.by_pid[live.pid]
        if self.fresh.get(live.pid) is live:
            del self.fresh[live.pid]
        live.parent = None

    def suspect_threads(self) -> None:
        """Messages were lost: anybody may have made threads."""
        for live in self.by_pid.values():
            live.threaded = True

    def note_stranger(self, pid: int, born_ns: int) -> None:
        """Remember when a process began of which nothing is told."""
        if len(self.strangers) >= MAX_STRANGERS:
            del self.strangers[next(iter(self.strangers))]
        self.strangers[pid] = born_ns
