"""fanotify(7), bound directly: notification groups of two kinds, and a strict parser of what they say.

Facts that shape this file and its users:

- A group speaks in one of two ways. Without FAN_REPORT_FID each event brings an open descriptor of the file, made in
  the reader when it reads; it needs no decodable file handles, so it works on overlayfs, but knows only what happens
  to open files (OPEN_EXEC, CLOSE_WRITE, ACCESS, …). With FID, DIR_FID, NAME and TARGET_FID an event brings handles of
  the directory and of the file, and the name: creations, renames and deletions too. A file system mark of such a
  group needs handles that can be decoded, and overlayfs refuses it (EOPNOTSUPP): it is set on the file system that
  holds the upper directory instead.
- Every event carries the pid of the process that did it, in the PID namespace of the reader; 0 where it has none
  there. It is the thread group's unless FAN_REPORT_TID was asked for. No event carries a time.
- FAN_RENAME (Linux 5.17) tells both names of a rename in one event; an exchange gives two, one after the other.
- Each group has its own queue and there is no order between two groups. Equal neighbours of one queue are merged:
  same object, name and pid; the masks are united and their order is lost. RENAME is never merged with others.
- Who makes an event looks for one to merge it with, in one of 128 lists, through at most 128 of it. In a queue of some
  hundred that costs nothing; in one of 20,000 it cost the guarded program 10 us for each file that it made. So a queue
  is to be kept short, even if nobody has the time to look at what was in it.
- The queue is bounded by fs.fanotify.max_queued_events (16,384) and then says Q_OVERFLOW, not how much was lost.
  With FAN_UNLIMITED_QUEUE nothing is lost, and the kernel's memory is the bound: the memory is charged to the
  control group of who made the group. FIONREAD tells what is queued; it walks the whole queue with its lock held.
- An event with a descriptor holds the file's path until it is read: an umount meanwhile says EBUSY. Where no
  descriptor is to be had (EMFILE) the event is lost; so a read takes no more events than there are descriptors left.
- The descriptors are opened so that their use causes no further events. Whatever else the reader opens does.
- Marks: of an inode (and, with EVENT_ON_CHILD, of what lies directly in a directory), of a mount, of a file system.
  A mount mark sees what goes through that one mount. File system and mount marks hold neither, and go with them; an
  inode mark keeps its inode in memory unless it is EVICTABLE (Linux 5.19).
- The death of the last holder of the group's descriptor takes every mark and every queued event away.
"""

import ctypes
import errno
import fcntl
import os
import struct
import sys
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
OPEN_EXEC: Final = 0x1000
Q_OVERFLOW: Final = 0x4000
FS_ERROR: Final = 0x8000
OPEN_PERM: Final = 0x10000
ACCESS_PERM: Final = 0x20000
OPEN_EXEC_PERM: Final = 0x40000
EVENT_ON_CHILD: Final = 0x08000000
RENAME: Final = 0x10000000
ONDIR: Final = 0x40000000

CLOEXEC: Final = 0x1
NONBLOCK: Final = 0x2
CLASS_NOTIF: Final = 0x0
CLASS_CONTENT: Final = 0x4
CLASS_PRE_CONTENT: Final = 0x8
UNLIMITED_QUEUE: Final = 0x10
UNLIMITED_MARKS: Final = 0x20
REPORT_PIDFD: Final = 0x80
REPORT_TID: Final = 0x100
REPORT_FID: Final = 0x200
REPORT_DIR_FID: Final = 0x400
REPORT_NAME: Final = 0x800
REPORT_TARGET_FID: Final = 0x1000
REPORT_NAMES: Final = REPORT_FID | REPORT_DIR_FID | REPORT_NAME | REPORT_TARGET_FID

MARK_ADD: Final = 0x1
MARK_REMOVE: Final = 0x2
MARK_DONT_FOLLOW: Final = 0x4
MARK_ONLYDIR: Final = 0x8
MARK_MOUNT: Final = 0x10
MARK_IGNORED_MASK: Final = 0x20
MARK_IGNORED_SURV_MODIFY: Final = 0x40
MARK_FLUSH: Final = 0x80
MARK_FILESYSTEM: Final = 0x100
MARK_EVICTABLE: Final = 0x200
MARK_IGNORE: Final = 0x400
MARK_INODE: Final = 0x0

ALLOW: Final = 0x1
DENY: Final = 0x2

INFO_FID: Final = 1
INFO_DFID_NAME: Final = 2
INFO_DFID: Final = 3
INFO_PIDFD: Final = 4
INFO_ERROR: Final = 5
INFO_OLD_DFID_NAME: Final = 10
INFO_NEW_DFID_NAME: Final = 12
_WITH_HANDLE: Final = (INFO_FID, INFO_DFID_NAME, INFO_DFID, INFO_OLD_DFID_NAME, INFO_NEW_DFID_NAME)

VERSION: Final = 3
NO_FD: Final = -1

EVENT_BYTES: Final = 24
"""Of an event without info records: an answer with descriptors is a multiple of it."""

_METADATA = struct.Struct("=IBBHQii")
_INFO = struct.Struct("=BBH")
_FID = struct.Struct("=4s8sIi")
_HANDLE_AT: Final = 12
_RESPONSE = struct.Struct("=iI")
_AT_FDCWD: Final = -100

_init = function("fanotify_init", ctypes.c_uint, ctypes.c_uint)
_mark = function("fanotify_mark", ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p)

_OPEN_REMEDY: Final = {
    errno.EPERM: "run as root of the first user namespace, with CAP_SYS_ADMIN and without a seccomp profile against it",
    errno.ENOSYS: "use a kernel with CONFIG_FANOTIFY",
    errno.EINVAL: "use Linux 5.17 or later",
    errno.EMFILE: "raise fs.fanotify.max_user_groups, or RLIMIT_NOFILE",
}


class Fid(NamedTuple):
    """An object as an info record names it: `handle` is a struct file_handle, `name` is empty where there is none."""

    kind: int
    fsid: bytes
    handle: bytes
    name: bytes = b""


class RawEvent(NamedTuple):
    """One event. `fd` is the caller's to close, NO_FD where there is none; `pid` 0 where it is not to be named."""

    mask: int
    fd: int
    pid: int
    fids: tuple[Fid, ...] = ()


def parse_events(raw: bytes) -> list[RawEvent]:
    """The events of one read. Raises ValueError for anything that is not a whole number of them."""
    events, at, end = [], 0, len(raw)
    unpack = _METADATA.unpack_from
    while at < end:
        if end - at < EVENT_BYTES:
            raise ValueError(f"fanotify event is short: {end - at} bytes")
        length, version, _, metadata, mask, fd, pid = unpack(raw, at)
        if version != VERSION:
            raise ValueError(f"fanotify event of version {version}")
        if not EVENT_BYTES <= metadata <= length <= end - at:
            raise ValueError(f"fanotify event of {metadata} and {length} bytes in {end - at}")
        fids = _parse_fids(raw, at + metadata, at + length) if length > metadata else ()
        events.append(RawEvent(mask, fd, pid, fids))
        at += length
    return events


def _parse_fids(raw: bytes, at: int, end: int) -> tuple[Fid, ...]:
    """The records of one event that name an object; others are left out."""
    found = []
    while at < end:
        if end - at < _INFO.size:
            raise ValueError(f"fanotify info record is short: {end - at} bytes")
        kind, _, length = _INFO.unpack_from(raw, at)
        behind = at + length
        if length < _INFO.size or behind > end:
            raise ValueError(f"fanotify info record of {length} bytes in {end - at}")
        if kind in _WITH_HANDLE:
            if length < _FID.size:
                raise ValueError(f"fanotify file handle is short: {length} bytes")
            _, fsid, size, _ = _FID.unpack_from(raw, at)
            name_at = at + _FID.size + size
            if name_at > behind:
                raise ValueError("fanotify file handle is longer than its record")
            name = b"" if kind == INFO_FID else raw[name_at:behind].partition(b"\0")[0]
            found.append(Fid(kind, fsid, raw[at + _HANDLE_AT : name_at], name))
        at = behind
    return tuple(found)


class Fanotify:
    """One group, non-blocking. Raises Unavailable where the kernel gives none."""

    def __init__(self, flags: int, *, event_flags: int = os.O_RDONLY | os.O_NOATIME) -> None:
        event_flags |= os.O_CLOEXEC | os.O_LARGEFILE
        try:
            self._fd = check(_init(flags | CLOEXEC | NONBLOCK, event_flags), "fanotify_init")
        except OSError as error:
            remedy = _OPEN_REMEDY.get(error.errno or 0, "allow fanotify_init")
            raise Unavailable(f"no fanotify group: {error.strerror}", remedy) from error

    def fileno(self) -> int:
        return self._fd

    def mark(self, path: bytes, mask: int, kind: int = MARK_INODE) -> None:
        """Mark what `path` leads to. `kind`: MARK_INODE, MARK_MOUNT or MARK_FILESYSTEM, and flags. Raises OSError."""
        check(_mark(self._fd, MARK_ADD | kind, mask, _AT_FDCWD, path), "fanotify_mark")

    def mark_descriptor(self, fd: int, mask: int, kind: int = MARK_INODE) -> None:
        """The same for what `fd` is open on, O_PATH too; it may be closed afterwards. Raises OSError."""
        self.mark(b"/proc/self/fd/%d" % fd, mask, kind)

    def unmark_descriptor(self, fd: int, mask: int, kind: int = MARK_INODE) -> None:
        """Take a mark away. Raises OSError (ENOENT: there is none)."""
        path = b"/proc/self/fd/%d" % fd
        check(_mark(self._fd, MARK_REMOVE | kind, mask, _AT_FDCWD, path), "fanotify_mark")

    def flush(self, kinds: tuple[int, ...] = (MARK_INODE, MARK_MOUNT, MARK_FILESYSTEM)) -> None:
        """Take every mark of these kinds away."""
        for kind in kinds:
            check(_mark(self._fd, MARK_FLUSH | kind, 0, _AT_FDCWD, b"/"), "fanotify_mark")

    def read(self, limit_bytes: int) -> list[RawEvent]:
        """What is queued, at most so much of it; an empty list where nothing is."""
        return parse_events(self.read_raw(limit_bytes))

    def read_raw(self, limit_bytes: int) -> bytes:
        """The same, not taken apart."""
        try:
            return os.read(self._fd, limit_bytes)
        except BlockingIOError:
            return b""

    def respond(self, fd: int, answer: int) -> None:
        """Answer a permission event: ALLOW or DENY. Raises OSError (ENOENT: nobody waits for it any more)."""
        os.write(self._fd, _RESPONSE.pack(fd, answer))

    def pending_bytes(self) -> int:
        """How much is queued and not yet read. Costs the longer the queue is; see above."""
        return int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)

    def close(self) -> None:
        os.close(self._fd)
