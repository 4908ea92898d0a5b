"""fanotify(7)'s permission events: the kernel asks before a file is executed, and waits for the answer.

Facts that shape this file and its users, besides those of fanotify.py:

- Whoever starts a program stands still in execve(2) until the answer is written. It can be killed meanwhile, and
  nothing else. When the group's descriptor is closed, by its process's death at the latest, all that wait are let go.
  So the group is opened after the fork and never passed on, and its holder does nothing but answer.
- A start asks several times: for the program, for the interpreter of a script, for ld.so, each with the file open for
  the reader. Denied is EPERM for the caller, before anything of the program has run.
- **Where the kernel cannot open the file for the reader (EMFILE, ENFILE, no memory), it answers "denied" itself.** So
  the reader has room for more descriptors than it ever leaves open, and reads only as many events as fit.
- The pid is that of the process, in the reader's PID namespace; 0 where it cannot be seen from there.
- A mark on a file system covers it through every mount, also those made later; one on a mount covers that mount alone,
  and no copy of it in a new mount namespace. Kernel-internal file systems, and so memfd files, take neither (EINVAL).
- An ignore mask on an inode silences the other marks for it. A write clears it; chmod and rename do not, and nor does a
  write through a shared mapping. That is told of when the last writer closes (FAN_CLOSE_WRITE on the same inode), and a
  file that somebody holds open for writing cannot be started (ETXTBSY): what is left is the moment between the two.
- An evictable mark (Linux 5.19) does not keep its inode in memory; it goes with it, and the kernel asks again.
- A mark on a file system or mount keeps nothing mounted. The descriptor it was made with would: close it.
- exec through ld.so (`ld.so /tmp/program`) and interpreters given a script's name (`sh /tmp/script`) start ld.so and
  sh, and nothing else is asked.
"""

import errno
import os
from typing import Final, NamedTuple

from outrider_sidecar.linux import fanotify
from outrider_sidecar.linux.fanotify import Fanotify
from outrider_wire.errors import Unavailable

READ_EVENTS: Final = 64
"""Most events taken at once: each comes with an open descriptor."""

_GROUP: Final = fanotify.CLASS_CONTENT | fanotify.UNLIMITED_QUEUE | fanotify.UNLIMITED_MARKS
_IGNORE_WAYS: Final = (
    fanotify.MARK_EVICTABLE | fanotify.MARK_IGNORE,
    fanotify.MARK_EVICTABLE | fanotify.MARK_IGNORED_MASK,
    fanotify.MARK_IGNORED_MASK,
)
"""Newest first: Linux 6.0, 5.19, and all."""
_REMEDY: Final = {
    errno.EPERM: "run it as root of the machine, with CAP_SYS_ADMIN",
    errno.EINVAL: "use a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS, 5.0 or newer",
}


class Asked(NamedTuple):
    """One event: `fd` is open on the file, the reader's to close; `is_question`: somebody waits for the answer."""

    fd: int
    pid: int
    is_question: bool


class ExecPermission:
    """One group that is asked before programs start; non-blocking. Raises Unavailable where there is none."""

    def __init__(self) -> None:
        self._group = Fanotify(_GROUP, event_flags=os.O_RDONLY)
        self._ignore_ways = list(_IGNORE_WAYS)

    def fileno(self) -> int:
        return self._group.fileno()

    def cover_filesystem(self, fd: int) -> None:
        """Be asked about every program of the file system that `fd` is open on (O_PATH will do). Raises OSError."""
        self._group.mark_descriptor(fd, fanotify.OPEN_EXEC_PERM, fanotify.MARK_FILESYSTEM)

    def cover_mount(self, fd: int) -> None:
        """Be asked about every program started through the mount that `fd` was opened through. Raises OSError."""
        self._group.mark_descriptor(fd, fanotify.OPEN_EXEC_PERM, fanotify.MARK_MOUNT)

    def cover_file(self, fd: int) -> None:
        """Be asked about one file. Raises OSError."""
        self._group.mark_descriptor(fd, fanotify.OPEN_EXEC_PERM)

    def read(self) -> list[Asked]:
        """What is queued, at most READ_EVENTS of it. Raises OSError where the kernel could open no file for us."""
        events = self._group.read(READ_EVENTS * fanotify.EVENT_BYTES)
        return [Asked(e.fd, e.pid, bool(e.mask & fanotify.OPEN_EXEC_PERM)) for e in events if e.fd != fanotify.NO_FD]

    def answer(self, fd: int, *, deny: bool) -> bool:
        """Let go or refuse whoever waits, and close `fd`. False: nobody waits any more, it was killed."""
        try:
            self._group.respond(fd, fanotify.DENY if deny else fanotify.ALLOW)
        except FileNotFoundError:
            return False
        finally:
            os.close(fd)
        return True

    def ignore(self, fd: int) -> bool:
        """Be asked no more about the file `fd` while nobody writes to it; whether the kernel could be told so.

        When a writer of the file closes, an event says so that is no question: see `mind`.
        """
        while self._ignore_ways:
            way = self._ignore_ways[0]
            try:
                self._group.mark_descriptor(fd, fanotify.CLOSE_WRITE, way & fanotify.MARK_EVICTABLE)
                self._group.mark_descriptor(fd, fanotify.OPEN_EXEC_PERM, way)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    return False
                del self._ignore_ways[0]
            else:
                return True
        return False

    def mind(self, fd: int) -> None:
        """Be asked about the file `fd` again."""
        if self._ignore_ways:
            way = self._ignore_ways[0] & ~fanotify.MARK_EVICTABLE
            try:
                self._group.unmark_descriptor(fd, fanotify.OPEN_EXEC_PERM, way)
            except FileNotFoundError:
                pass  # a write has cleared it, or its inode went

    def mind_all(self) -> None:
        """Be asked about every file again."""
        self._group.flush((fanotify.MARK_INODE,))

    def uncover_all(self) -> None:
        """Be asked about nothing any more."""
        self._group.flush()

    def close(self) -> None:
        """Whoever still waits is let go."""
        self._group.close()


def probe_permission() -> None:
    """Find out, by doing it, whether the kernel would ask. Raises Unavailable."""
    group = ExecPermission()
    try:
        fd = os.memfd_create("outrider", os.MFD_CLOEXEC)
        try:
            group.cover_file(fd)
        finally:
            os.close(fd)
    except OSError as error:
        remedy = _REMEDY.get(error.errno or 0, "")
        raise Unavailable(f"the kernel does not ask before programs start: {error.strerror}", remedy) from error
    finally:
        group.close()
