"""The /proc/PID directories of processes that are read more than once, kept open in between.

Opening one walks a path, makes a directory entry and takes a descriptor: as long as two of the reads it serves. A
descriptor of it (O_PATH) stands for that process alone, also when its number is given to another: lookups then
fail with ESRCH. It keeps neither the process nor its files alive.
"""

import os
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.procfs import PROC

MAX_KEPT: Final = 128
"""Most directories kept open; past that the one opened first is closed."""
_LOOK: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Directories:
    """Open directories of processes, by pid. Whoever knows that a process ended calls `close`."""

    def __init__(self, proc: Path = PROC) -> None:
        self._prefix = f"{proc}/"
        self._open: dict[int, int] = {}

    def open(self, pid: int) -> int:
        """A descriptor of the directory, good until the next `open` or `close`. Raises OSError."""
        here = self._open.get(pid)
        if here is None:
            if len(self._open) >= MAX_KEPT:
                self.close(next(iter(self._open)))
            here = self._open[pid] = os.open(self._prefix + str(pid), _LOOK)
        return here

    def close(self, pid: int) -> None:
        here = self._open.pop(pid, None)
        if here is not None:
            os.close(here)
