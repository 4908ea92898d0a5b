"""A segment: the file that records are appended to, one write(2) each.

No buffering: what `append` returned True for is read by a successor after kill -9. A write that did not fit
(ENOSPC leaves a short one) is cut off again, so that the next record does not follow half of another.
"""

import contextlib
import os
from pathlib import Path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class Segment:
    """An append-only file. It has no `path` on disk when the file could not be made; then it takes nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = os.open(path, _FLAGS, 0o600)

    def append(self, record: bytes) -> bool:
        """Write one record; False when the disk did not take it whole."""
        if self._fd < 0:
            return False
        try:
            if os.write(self._fd, record) == len(record):
                self.size_bytes += len(record)
                return True
        except OSError:
            pass  # nothing or part of it was written: the cut below serves both
        self._cut()
        return False

    def close(self) -> None:
        """Close the file; appends are refused from here on."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)

    def _cut(self) -> None:
        try:
            os.ftruncate(self._fd, self.size_bytes)
        except OSError:
            self.close()  # a record after half a record would be unreadable
