"""The file systems that containers' files lie on, as far as they are watched by names.

One file system holds the upper directories of many containers, and is marked once. Nothing of it is kept open: what
has to be asked of it (where a handle leads, what a file is) is asked through a descriptor that is opened when first
needed in a turn and closed at its end, so that nobody's umount meets it.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Final

from outrider_sidecar.linux.handles import handle_of, open_handle
from outrider_sidecar.sensors.host.dirtable import DirectoryTable
from outrider_sidecar.sensors.host.names import NameReader, What

_ORIGINS: Final = ("trusted.overlay.origin", "user.overlay.origin")
_DELETED: Final = b" (deleted)"

Opened = Callable[[], AbstractContextManager[int]]
"""A way to the file system: opens a directory on it. Raises OSError."""


def fsid_of(fd: int) -> bytes:
    """How fanotify calls the file system of a descriptor."""
    return os.fstatvfs(fd).f_fsid.to_bytes(8, sys.byteorder)


class FileSystem:
    """One file system, with a way to it for each container that uses it."""

    def __init__(self) -> None:
        self.table = DirectoryTable(self._locate)
        self.reader = NameReader(self.table, self._inspect)
        self._ways: dict[tuple[int, bytes], Opened] = {}
        self._turn = ExitStack()
        self._mount_fd = -1

    def add_way(self, mnt_ns: int, name: bytes, way: Opened) -> None:
        """Reach the file system so, too."""
        self._ways[mnt_ns, name] = way

    def any_way(self) -> Opened:
        """One of them."""
        return next(iter(self._ways.values()))

    def remove(self, mnt_ns: int) -> bool:
        """Forget a container; whether nobody uses the file system any more."""
        self._ways = {key: way for key, way in self._ways.items() if key[0] != mnt_ns}
        self.table.remove_places(mnt_ns)
        return self.table.is_empty

    def end_turn(self) -> None:
        """Close what was opened."""
        self._turn.close()
        self._mount_fd = -1

    def path_of(self, fd: int) -> bytes | None:
        """The path of a directory as the table calls it. Raises OSError (EOPNOTSUPP: it has no handles)."""
        return self._locate(handle_of(fd))

    def _mount(self) -> int:
        if self._mount_fd < 0:
            for way in self._ways.values():
                try:
                    self._mount_fd = self._turn.enter_context(way())
                    break
                except OSError:
                    continue
            else:
                raise OSError(errno.ESTALE, "no way leads to the file system any more")
        return self._mount_fd

    def _locate(self, handle: bytes) -> bytes | None:
        try:
            fd = open_handle(self._mount(), handle)
        except (OSError, ValueError):
            return None
        try:
            path = os.readlink(b"/proc/self/fd/%d" % fd)
            gone = path.endswith(_DELETED) and not os.fstat(fd).st_nlink
            return path.removesuffix(_DELETED) if gone else path
        except OSError:
            return None
        finally:
            os.close(fd)

    def _inspect(self, handle: bytes) -> What:
        try:
            fd = open_handle(self._mount(), handle)
        except (OSError, ValueError):
            return "gone"
        try:
            return what_is(fd)
        except OSError:
            return "gone"
        finally:
            os.close(fd)


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
