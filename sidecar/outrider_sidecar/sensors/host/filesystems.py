"""The file systems that containers' files lie on, as far as they are watched by names.

One file system holds the upper directories of many containers, and is marked once. Nothing of it is kept open: what
has to be asked of it (where a handle leads, what a file is) is asked through a descriptor that is opened when first
needed in a turn and closed at its end, so that nobody's umount meets it.

A mount may show but a part of its file system, as a volume does. What lies outside of that part has no path there:
the link of a descriptor of it says `/`, whatever it is. So a path is believed only below what a way is known to lead
to, and all paths are those of the file system itself, the same by whichever mount they were found. Where a mount that
shows all of it is known (`whole`), it alone is asked.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Final, NamedTuple

from outrider_sidecar.linux.handles import handle_of, open_handle
from outrider_sidecar.linux.procfs import read_bytes
from outrider_sidecar.sensors.host.dirtable import ELSEWHERE, DirectoryTable
from outrider_sidecar.sensors.host.names import NameReader, What

_ORIGINS: Final = ("trusted.overlay.origin", "user.overlay.origin")
_DELETED: Final = b" (deleted)"

Opened = Callable[[], AbstractContextManager[int]]
"""A way to the file system: opens a directory on it. Raises OSError."""


class Way(NamedTuple):
    """Opens a directory, which lies at `path` of its file system."""

    open: Opened
    path: bytes


class Entrance(NamedTuple):
    """A way that is open: its descriptor, and what the link of that says."""

    fd: int
    shown: bytes
    path: bytes

    def place(self, fd: int, shown: bytes) -> bytes | None:
        """The path of another directory of the same mount, by what its link says; None where it is not below."""
        if shown == self.shown:
            return self.path if os.path.sameopenfile(fd, self.fd) else None
        base = self.shown.rstrip(b"/")
        return self.path.rstrip(b"/") + shown[len(base) :] if shown.startswith(base + b"/") else None


def fsid_of(fd: int) -> bytes:
    """How fanotify calls the file system of a descriptor."""
    return os.fstatvfs(fd).f_fsid.to_bytes(8, sys.byteorder)


def mount_of(fd: int) -> int:
    """The id of the mount that a descriptor was opened by; 0 where it is not told."""
    for line in read_bytes(f"/proc/self/fdinfo/{fd}", limit=512).splitlines():
        if line.startswith(b"mnt_id:"):
            return int(line.partition(b":")[2])
    return 0


class FileSystem:
    """One file system, with a way to it for each container that uses it, and perhaps one to the `whole` of it."""

    def __init__(self, whole: Way | None = None) -> None:
        self.table = DirectoryTable(self._locate)
        self.reader = NameReader(self.table, self._inspect)
        self._whole = whole
        self._ways: dict[tuple[int, bytes], Way] = {}
        self._turn = ExitStack()
        self._entrances: dict[int, list[Entrance]] = {}

    @property
    def is_whole(self) -> bool:
        """Whether a mount that shows all of it was known."""
        return self._whole is not None

    def add_way(self, mnt_ns: int, name: bytes, way: Way) -> None:
        """Reach the file system so, too."""
        self._ways[mnt_ns, name] = way
        self.end_turn()

    def any_way(self) -> Opened:
        """One of them."""
        return next(iter(self._ways.values())).open

    def remove(self, mnt_ns: int) -> bool:
        """Forget a container; whether nobody uses the file system any more."""
        self._ways = {key: way for key, way in self._ways.items() if key[0] != mnt_ns}
        self.table.remove_places(mnt_ns)
        return self.table.is_empty

    def end_turn(self) -> None:
        """Close what was opened."""
        self._turn.close()
        self._entrances = {}

    def path_of(self, fd: int) -> bytes | None:
        """The path of a directory, by the file system. Raises OSError (EOPNOTSUPP: it has no handles)."""
        return self._locate(handle_of(fd)) or None

    def _open_entrances(self) -> dict[int, list[Entrance]]:
        """What is open in this turn, by mount: the whole where it can be had, else every way there is."""
        if not self._entrances:
            if self._whole is not None:
                self._enter(self._whole)
            for way in () if self._entrances else self._ways.values():
                self._enter(way)
            if not self._entrances:
                raise OSError(errno.ESTALE, "no way leads to the file system any more")
        return self._entrances

    def _enter(self, way: Way) -> None:
        try:
            fd = self._turn.enter_context(way.open())
            entrance = Entrance(fd, os.readlink(b"/proc/self/fd/%d" % fd), way.path)
        except OSError:
            return  # whoever showed it is gone
        self._entrances.setdefault(mount_of(fd), []).append(entrance)

    def _locate(self, handle: bytes) -> bytes | None:
        try:
            for entrances in self._open_entrances().values():
                fd = open_handle(entrances[0].fd, handle)
                try:
                    shown = _read_link(fd)
                    places = (entrance.place(fd, shown) for entrance in entrances)
                    if (path := next((place for place in places if place is not None), None)) is not None:
                        return path
                finally:
                    os.close(fd)
        except (OSError, ValueError):
            return None
        return ELSEWHERE

    def _inspect(self, handle: bytes) -> What:
        try:
            entrances = next(iter(self._open_entrances().values()))
            fd = open_handle(entrances[0].fd, handle)
        except (OSError, ValueError):
            return "gone"
        try:
            return what_is(fd)
        except OSError:
            return "gone"
        finally:
            os.close(fd)


def _read_link(fd: int) -> bytes:
    """The path of a directory by its mount, without the kernel's note that it is deleted."""
    path = os.readlink(b"/proc/self/fd/%d" % fd)
    gone = path.endswith(_DELETED) and not os.fstat(fd).st_nlink
    return path.removesuffix(_DELETED) if gone else path


def what_is(fd: int) -> What:
    """What a file of an upper directory is; the descriptor may be an O_PATH one. Raises OSError."""
    if is_whiteout(os.fstat(fd)):
        return "whiteout"
    return "copy" if any(_has(fd, name) for name in _ORIGINS) else "made"


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this stands for a deleted file of the image."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _has(fd: int, name: str) -> bool:
    try:
        os.getxattr(f"/proc/self/fd/{fd}", name)
    except OSError:
        return False
    return True
