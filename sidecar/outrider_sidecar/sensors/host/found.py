"""What changed before a container's files were marked, or while events were lost: looked for in its own layers.

The upper directory holds all that ever changed in the container, and is small; so are its own tmpfs mounts. They are
gone through a few directories at a time, and what changed at or after a moment (by ctime) is told of as `found`, where
its mtime alone would not show that, or it is a program or a script. On the way every directory's handle is learnt, so
that events in it can be placed even when it is gone by then.
"""

import os
import stat
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from outrider_sidecar.decode.elf import kind_of
from outrider_sidecar.linux.handles import handle_of
from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.linux.rooted import HEAD_BYTES, look, open_beneath
from outrider_sidecar.sensors.host.containers import Marked
from outrider_sidecar.sensors.host.filesystems import FileSystem, Opened, is_whiteout
from outrider_wire.events import FileChanged
from outrider_wire.text import clean_text

MAX_DIRECTORIES: Final = 20_000
"""Most directories of one container gone through."""
MAX_ENTRIES: Final = 200_000
"""Most entries of one container looked at: some two seconds in all."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY


class Ground(NamedTuple):
    """A tree to go through: shown at `at` in the container, at `path` of its file system."""

    way: Opened
    at: bytes
    path: bytes
    file_system: FileSystem


class Search:
    """One look through a container's layers. `left_out`: a bound was met."""

    def __init__(self, container: Marked, grounds: list[Ground], since_ns: int, *, clock: Callable[[], int]) -> None:
        self.container = container
        self._since_ns = since_ns
        self._clock = clock
        self._todo: deque[tuple[Ground, bytes]] = deque((ground, b"") for ground in grounds)
        self._directories = 0
        self._entries = 0
        self._found: list[FileChanged] = []
        self.left_out = False

    def step(self, directories: int) -> list[FileChanged]:
        """Go through some directories; what was found in them."""
        self._found = []
        for _ in range(directories):
            if not self._todo:
                break
            self._visit(*self._todo.popleft())
        return self._found

    @property
    def is_over(self) -> bool:
        return not self._todo

    def _visit(self, ground: Ground, below: bytes) -> None:
        self._directories += 1
        if self._directories > MAX_DIRECTORIES or self._entries > MAX_ENTRIES:
            self._todo.clear()
            self.left_out = True
            return
        try:
            with ground.way() as base:
                fd = open_beneath(base, below, _DIRECTORY)
        except OSError:
            return  # it is gone, or never was a directory
        try:
            ground.file_system.table.seed(ground.path + below, handle_of(fd))
            self._list(ground, below, fd)
        except OSError:
            return  # it went while it was listed
        finally:
            os.close(fd)

    def _list(self, ground: Ground, below: bytes, fd: int) -> None:
        device = os.fstat(fd).st_dev
        with os.scandir(fd) as entries:
            for entry in entries:
                self._entries += 1
                status = entry.stat(follow_symlinks=False)
                path = below + b"/" + os.fsencode(entry.name)
                if is_whiteout(status):
                    self._learn_whiteout(ground, fd, entry.name)
                elif not stat.S_ISDIR(status.st_mode):
                    if status.st_ctime_ns >= self._since_ns:
                        self._tell(ground.at + path)
                elif status.st_dev == device:
                    self._todo.append((ground, path))

    def _learn_whiteout(self, ground: Ground, fd: int, name: str) -> None:
        whiteout = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            ground.file_system.reader.know_whiteout(handle_of(whiteout))
        finally:
            os.close(whiteout)

    def _tell(self, path: bytes) -> None:
        """Tell of a file as the container itself has it."""
        now_ns = self._clock()
        root_fd = self.container.root(now_ns)
        if root_fd is None:
            return
        try:
            status, head = look(root_fd, path, head_bytes=HEAD_BYTES)
        except OSError:
            return  # gone, or hidden under a mount
        kind = kind_of(head) if stat.S_ISREG(status.st_mode) else "other"
        if status.st_mtime_ns >= self._since_ns and kind not in ("elf", "script"):
            return
        facts = file_facts(clean_text(path), status)
        self._found.append(FileChanged(now_ns, "found", facts, mnt_ns=self.container.mnt_ns, kind=kind))
