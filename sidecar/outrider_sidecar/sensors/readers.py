"""Who is guarded, and who of them has a file open for reading: looked for in /proc, by names and numbers only.

A descriptor's own permission bits in /proc/PID/fd tell how the file was opened; what it leads to is known by device
and inode number, for its path may be written in another root.
"""

import os
import stat
from itertools import islice
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.procfs import PROC, read_stat
from outrider_wire.errors import ProcessGone
from outrider_wire.events import FileFacts, ProcessId

MAX_LOOKED_AT: Final = 256
"""Processes of the container whose descriptors are gone through for one reading, newest first."""
MAX_DESCRIPTORS: Final = 1_024
"""Of one process."""


class Readers:
    """Looks into all containers but the one at `own_mnt_ns`."""

    def __init__(self, own_mnt_ns: int, *, proc: Path = PROC) -> None:
        self._own = own_mnt_ns
        self._proc = proc

    def guarded(self) -> tuple[dict[int, int], list[int]]:
        """The oldest process of each guarded container, and all guarded processes, oldest first."""
        oldest: dict[int, int] = {}
        guarded = []
        for pid in sorted(self._pids()):
            mnt_ns = self._namespace(pid)
            if mnt_ns and mnt_ns != self._own:
                oldest.setdefault(mnt_ns, pid)
                guarded.append(pid)
        return oldest, guarded

    def find(self, mnt_ns: int, facts: FileFacts) -> ProcessId | None:
        """The newest process of the container that has the file open for reading."""
        newest_first = (pid for pid in sorted(self._pids(), reverse=True) if self._namespace(pid) == mnt_ns)
        for pid in islice(newest_first, MAX_LOOKED_AT):
            if self._has_open(pid, facts):
                try:
                    return read_stat(pid, proc=self._proc).process
                except ProcessGone:
                    continue
        return None

    def _has_open(self, pid: int, facts: FileFacts) -> bool:
        folder = f"{self._proc}/{pid}/fd"
        try:
            numbers = os.listdir(folder)
        except OSError:
            return False  # it is gone, or may not be looked at
        for number in numbers[:MAX_DESCRIPTORS]:
            try:
                status = os.stat(f"{folder}/{number}")
                if (status.st_dev, status.st_ino) == (facts.dev, facts.ino):
                    return bool(os.lstat(f"{folder}/{number}").st_mode & stat.S_IRUSR)
            except OSError:
                continue  # closed meanwhile
        return False

    def _pids(self) -> list[int]:
        return [int(name) for name in os.listdir(self._proc) if name.isdigit()]

    def _namespace(self, pid: int) -> int:
        try:
            return os.stat(f"{self._proc}/{pid}/ns/mnt").st_ino
        except OSError:
            return 0
