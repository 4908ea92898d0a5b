"""The opens group: who closed a file after writing, who opened one to run it, who read one that is listed.

Each event brings a descriptor of the file, and what is told of a file is read through it at once: its path, its
facts, its first bytes. So it is exact whatever becomes of the name meanwhile. A read takes few events at a time,
because each takes a descriptor, and one that cannot be made is an event lost.
"""

import os
import posixpath
import stat
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from outrider_sidecar.linux import fanotify
from outrider_sidecar.linux.fanotify import Fanotify, RawEvent
from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.linux.rooted import HEAD_BYTES
from outrider_sidecar.sensors.host.runs import Write
from outrider_wire.events import FileFacts
from outrider_wire.text import clean_text

MASK: Final = fanotify.OPEN_EXEC | fanotify.CLOSE_WRITE
READS: Final = fanotify.ACCESS | fanotify.CLOSE_NOWRITE

AT_ONCE: Final = 128
"""Events of one read, and so descriptors open at a time."""
MAX_PIDS: Final = 8_192
"""Most processes of which it is remembered what they opened to run; past that the oldest is forgotten."""
MAX_OPENED: Final = 32
"""Most files of one process."""

DELETED: Final = b" (deleted)"

PlaceOf = Callable[[int, int], tuple[int, bytes]]
"""The container (mount namespace, 0 for none) that a process and a descriptor belong to, and its prefix of paths."""


class Read(NamedTuple):
    """A listed file that was read, or opened for reading and closed. `is_over`: it was closed."""

    pid: int
    mnt_ns: int
    path: bytes
    status: os.stat_result
    has_read: bool
    is_over: bool


class Told(NamedTuple):
    """What one read of the group brought; `events` in all."""

    events: int
    overflowed: bool
    writes: list[Write]
    reads: list[Read]


class OpensReader:
    """Reads the group, and remembers who opened what to run it."""

    def __init__(self, group: Fanotify, place_of: PlaceOf, *, own_pid: int) -> None:
        self._group = group
        self._place_of = place_of
        self._own_pid = own_pid
        self._opened: dict[int, tuple[int, list[FileFacts]]] = {}

    def opened_by(self, pid: int) -> Sequence[FileFacts]:
        """What a process opened to run since `forget`, in its order."""
        found = self._opened.get(pid)
        return found[1] if found is not None else ()

    def opened_in(self, pid: int) -> int:
        """The container (mount namespace, 0 for none) in which it opened the first of that."""
        found = self._opened.get(pid)
        return found[0] if found is not None else 0

    def forget(self, pid: int) -> None:
        """What it opened is no longer of interest."""
        self._opened.pop(pid, None)

    def read(self) -> Told:
        """The next events, at most AT_ONCE."""
        events = self._group.read(AT_ONCE * fanotify.EVENT_BYTES)
        told = Told(len(events), any(e.mask & fanotify.Q_OVERFLOW for e in events), [], [])
        for event in events:
            if event.fd < 0:
                continue
            try:
                if event.pid != self._own_pid:
                    self._take(event, told)
            except OSError:
                pass  # its file system went away under it
            finally:
                os.close(event.fd)
        return told

    def _take(self, event: RawEvent, told: Told) -> None:
        mask, fd, pid = event.mask, event.fd, event.pid
        mnt_ns, prefix = self._place_of(pid, fd)
        if not mnt_ns:
            return
        path, status = os.readlink(b"/proc/self/fd/%d" % fd), os.fstat(fd)
        if not status.st_nlink:
            path = path.removesuffix(DELETED)
        if prefix and path.startswith(prefix + b"/"):
            path = path[len(prefix) :]
        if mask & fanotify.OPEN_EXEC:
            self._note_opened(pid, mnt_ns, path, status)
        if mask & fanotify.CLOSE_WRITE:
            told.writes.append(Write(pid, mnt_ns, path, status, _head(fd, status)))
        if mask & READS:
            has_read, is_over = bool(mask & fanotify.ACCESS), bool(mask & fanotify.CLOSE_NOWRITE)
            told.reads.append(Read(pid, mnt_ns, path, status, has_read, is_over))

    def _note_opened(self, pid: int, mnt_ns: int, path: bytes, status: os.stat_result) -> None:
        found = self._opened.get(pid)
        if found is None:
            if len(self._opened) >= MAX_PIDS:
                del self._opened[next(iter(self._opened))]
            found = self._opened[pid] = (mnt_ns, [])
        files = found[1]
        if len(files) < MAX_OPENED:
            files.append(_as_opened(file_facts(clean_text(path), status)))

    def discard(self, most: int) -> int:
        """Take up to so many events and tell of none; how many there were."""
        count = 0
        while count < most:
            events = self._group.read(AT_ONCE * fanotify.EVENT_BYTES)
            if not events:
                break
            count += len(events)
            for event in events:
                if event.fd >= 0:
                    os.close(event.fd)
        return count


def _as_opened(file: FileFacts) -> FileFacts:
    """A file as it was when it was opened, as far as that can be said.

    One without a name now may have lost it since: what is run and removed at once is no program without a file. Only
    one that is called by its number never had a name (O_TMPFILE).
    """
    if file.nlink or posixpath.basename(file.path).startswith("#"):
        return file
    return msgspec.structs.replace(file, nlink=1)


def _head(fd: int, status: os.stat_result) -> bytes:
    if not status.st_size or not stat.S_ISREG(status.st_mode):
        return b""
    try:
        return os.pread(fd, HEAD_BYTES, 0)
    except OSError:
        return b""
