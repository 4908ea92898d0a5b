"""inotify(7), bound directly.

Facts that shape this file and its users:

- An event names a watch and one path component. It carries no pid: who did it must be worked out elsewhere.
- A watch belongs to an inode, not to a path. Adding the same inode twice to one instance gives the same watch
  descriptor, also through two containers that share a volume. A renamed directory keeps its watch.
- A watch holds the inode in memory and does not hold the mount: when the file system goes, each watch gets
  IN_UNMOUNT and then IN_IGNORED. A descriptor would pin the overlay of a container that should be torn down,
  so directories are handed over as /proc/self/fd/N of a descriptor that the caller closes at once.
- Because that path is a link to be followed, IN_DONT_FOLLOW cannot be used: the caller opens with O_NOFOLLOW.
- Nothing is recursive. What is made in a new directory before its watch stands is not told: watch, then list.
- The queue is bounded (fs.inotify.max_queued_events). When it is full the kernel drops events and queues one
  IN_Q_OVERFLOW with wd -1: something was missed, nobody knows what.
- The kernel merges an event that equals the one queued last, and no others.
- IN_MODIFY comes with each write: a program that logs would flood us. A file's writer is told of once, by
  IN_CLOSE_WRITE, which also comes when it was opened for writing and nothing was written.
- A user has 128 instances and a number of watches that grows with memory; both may be used up by others with
  the same uid, and answers EMFILE at open or ENOSPC at add.
"""

import ctypes
import errno
import fcntl
import os
import struct
import termios
from typing import Final, NamedTuple

from outrider_sidecar.linux.libc import check, function
from outrider_wire.errors import Unavailable

ACCESS: Final = 0x1
MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
CLOSE_NOWRITE: Final = 0x10
OPEN: Final = 0x20
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
UNMOUNT: Final = 0x2000
Q_OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
ONLYDIR: Final = 0x1000000
DONT_FOLLOW: Final = 0x2000000
EXCL_UNLINK: Final = 0x4000000
MASK_ADD: Final = 0x20000000
ISDIR: Final = 0x40000000
ONESHOT: Final = 0x80000000

READ_BYTES: Final = 65536
"""One read takes at most this much: some 2,000 events with names of ordinary length."""

OUT_OF_WATCHES: Final = (errno.ENOSPC, errno.ENOMEM)

_HEADER = struct.Struct("iIII")
_init1 = function("inotify_init1", ctypes.c_int)
_add_watch = function("inotify_add_watch", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_rm_watch = function("inotify_rm_watch", ctypes.c_int, ctypes.c_int)

_OPEN_REMEDY = {
    errno.EMFILE: "end programs of this user that hold inotify instances, or raise fs.inotify.max_user_instances",
    errno.ENFILE: "raise fs.file-max",
    errno.ENOSYS: "use a kernel with CONFIG_INOTIFY_USER",
}


class RawEvent(NamedTuple):
    """One record: `name` is empty where the event is about the watched object itself."""

    wd: int
    mask: int
    cookie: int
    name: bytes


def parse_events(raw: bytes) -> list[RawEvent]:
    """The records of one read. Raises ValueError for anything that is not a whole number of records."""
    events, at, end = [], 0, len(raw)
    while at < end:
        if end - at < _HEADER.size:
            raise ValueError(f"inotify record is short: {end - at} bytes")
        wd, mask, cookie, length = _HEADER.unpack_from(raw, at)
        at += _HEADER.size
        if length > end - at:
            raise ValueError(f"inotify name is short: {end - at} of {length} bytes")
        events.append(RawEvent(wd, mask, cookie, raw[at : at + length].partition(b"\0")[0]))
        at += length
    return events


class Inotify:
    """One inotify instance, non-blocking. Raises Unavailable where the kernel gives none."""

    def __init__(self) -> None:
        try:
            self._fd = check(_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
        except OSError as error:
            remedy = _OPEN_REMEDY.get(error.errno or 0, "allow inotify_init1 in the seccomp profile")
            raise Unavailable(f"no inotify instance: {error.strerror}", remedy) from error

    def fileno(self) -> int:
        return self._fd

    def add(self, path: bytes, mask: int) -> int:
        """The watch descriptor of `path`. Raises OSError (ENOSPC: out of watches)."""
        return check(_add_watch(self._fd, path, mask), "inotify_add_watch")

    def add_descriptor(self, fd: int, mask: int) -> int:
        """The watch descriptor of what `fd` is open on; `fd` may be closed afterwards."""
        return self.add(b"/proc/self/fd/%d" % fd, mask)

    def remove(self, wd: int) -> None:
        """Take a watch away; one that the kernel took away already is no error."""
        _rm_watch(self._fd, wd)

    def read(self) -> list[RawEvent]:
        """What is queued, at most READ_BYTES of it; an empty list where nothing is."""
        try:
            return parse_events(os.read(self._fd, READ_BYTES))
        except BlockingIOError:
            return []

    def pending_bytes(self) -> int:
        """How much is queued and not yet read."""
        answer = fcntl.ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0")
        return int.from_bytes(answer, "little" if struct.pack("=H", 1) == b"\1\0" else "big")

    def close(self) -> None:
        os.close(self._fd)
