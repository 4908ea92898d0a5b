"""A container as the file watch knows it: its mounts, and a way to its root for as long as one is needed.

A descriptor of a container's root or of one of its mounts would keep it from being unmounted, so roots are opened anew
in each turn in which a file is looked at, by any living process of the container, and closed at the turn's end.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.procfs import PROC, list_pids
from outrider_sidecar.linux.rooted import opened_root
from outrider_wire.errors import ProcessGone, Unavailable

SEARCH_EVERY_NS: Final = 1_000_000_000
"""How often another process of a container is looked for, at most: it goes through all of /proc."""


class Marked:
    """One container. `sensor` tells its changes: `fanotify`, or empty where only its execs and reads are seen."""

    def __init__(self, mnt_ns: int, pid: int, baseline_ns: int, *, proc: Path = PROC) -> None:
        self.mnt_ns = mnt_ns
        self.pid = pid
        self.baseline_ns = baseline_ns
        self.prefix = b""
        """How paths below its root begin where its first process lives under chroot; empty otherwise."""
        self.mount_ids: frozenset[int] = frozenset()
        self.is_watched = False
        self.unwatched = ""
        """Which of its mounts are not, as a FilesWatched says it."""
        self.environments: set[int] = set()
        self._proc = proc
        self._turn = ExitStack()
        self._root_fd = -1
        self._searched_ns = 0

    def root(self, now_ns: int) -> int | None:
        """An O_PATH descriptor of its root, good until `end_turn`; None where no process is left."""
        if self._root_fd < 0 and not self._open(self.pid) and now_ns - self._searched_ns > SEARCH_EVERY_NS:
            self._searched_ns = now_ns
            for pid in reversed(list_pids(proc=self._proc)):
                if self._is_mine(pid) and self._open(pid):
                    self.pid = pid
                    break
        return self._root_fd if self._root_fd >= 0 else None

    def follow_another(self) -> bool:
        """Let another process lead there, where the one that did has ended; False where it has not, or none is left."""
        if self._is_mine(self.pid):
            return False
        for pid in reversed(list_pids(proc=self._proc)):
            if self._is_mine(pid):
                self.pid = pid
                return True
        return False

    def end_turn(self) -> None:
        """Close its root."""
        if self._root_fd >= 0:
            self._turn.close()
            self._root_fd = -1

    def strip(self, path: bytes) -> bytes:
        """A path of its mount namespace, as its first process calls it."""
        if self.prefix and path.startswith(self.prefix + b"/"):
            return path[len(self.prefix) :]
        return path

    def _is_mine(self, pid: int) -> bool:
        try:
            return os.stat(f"{self._proc}/{pid}/ns/mnt").st_ino == self.mnt_ns
        except OSError:
            return False

    def _open(self, pid: int) -> bool:
        try:
            self._root_fd = self._turn.enter_context(opened_root(pid, self.mnt_ns, proc=self._proc))
        except (ProcessGone, Unavailable, OSError):
            return False
        return True
