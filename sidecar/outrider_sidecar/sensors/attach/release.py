"""Who is let go, and who stays free: debuggers and everything they start.

A process has one tracer. A debugger inside the task works only if neither it nor what it starts is traced by
us, so it is detached at its exec; children made after that are untraced. The watermark finds those children and
must not seize them: a process is free while it, or any living ancestor of it, is.

A program that is traced by us already cannot be debugged by attaching to it: ptrace(2) forbids it.
"""

import re
from collections.abc import Callable
from typing import Final

MAX_FREE: Final = 65_536
MAX_ANCESTORS: Final = 64
_VERSION: Final = re.compile(r"-\d[\d.]*$")
_VERSION_ENDS: Final = frozenset("0123456789.")


class ReleaseList:
    """Which programs are let go by name or path, and the living processes that are free because of it."""

    def __init__(self, names: frozenset[str], paths: frozenset[str]) -> None:
        self._names = names
        self._paths = paths
        self.free: dict[int, int] = {}

    def reason(self, exe: str) -> str:
        """Why a process that runs this executable is let go; empty where it is not."""
        if exe in self._paths:
            return f"{exe} is on the list of released paths"
        name = exe.rpartition("/")[2]
        if name in self._names or (name[-1:] in _VERSION_ENDS and _VERSION.sub("", name) in self._names):
            return f"{name} traces other programs itself"
        return ""

    def add(self, pid: int, start_ticks: int) -> None:
        if len(self.free) < MAX_FREE:
            self.free[pid] = start_ticks

    def covers(self, pid: int, identify: Callable[[int], tuple[int, int] | None]) -> bool:
        """Whether a process is free by itself or by an ancestor; `identify` gives (start_ticks, ppid) of a pid."""
        for _ in range(MAX_ANCESTORS):
            if not self.free or pid <= 0:
                return False
            found = identify(pid)
            if found is None:
                return False
            start_ticks, ppid = found
            if self.free.get(pid) == start_ticks:
                return True
            pid = ppid
        return False

    def forget(self, gone: list[int]) -> None:
        for pid in gone:
            self.free.pop(pid, None)
