"""Digests of new files that run: worked out in a thread of its own, when a threat list has digests at all.

A program is read through /proc/PID/exe, which shows the very file even when its name is gone; a script, and a program
that has ended meanwhile, through the root of a living process of its container. What was opened must still be what was
meant: device, inode, size and time of modification say so. A file is read once, as long as it stays the same.
"""

import hashlib
import os
import queue
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.linux.rooted import open_beneath, opened_root, resolve
from outrider_sidecar.sensors import Emit
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import FileFacts, FileHashed, ProcessId

MAX_WAITING: Final = 1_024
MAX_REMEMBERED: Final = 4_096
MAX_FILE_BYTES: Final = 256 << 20
"""Longest file that is read."""
MINUTE_BYTES: Final = 2 << 30
"""Most that is read in a minute: whoever makes new programs without end is not to have a processor of ours."""
CHUNK_BYTES: Final = 1 << 20
MAX_PIDS_TRIED: Final = 4
_WAIT_S: Final = 0.5

Digests = Mapping[str, str]
_Same = tuple[int, int, int, int]
"""What a file is known by: device, inode, size, time of modification."""


class Request(Struct, frozen=True):
    """A file that a process runs. `is_exe`: it is the process's program, not its script."""

    process: ProcessId
    file: FileFacts
    mnt_ns: int
    is_exe: bool


class DigestSensor:
    """Reads files and tells of those that `is_listed`. `ask` is for the engine's thread.

    `algorithms` says which digests are wanted now. `hashed` and `left` count files read and files that could not be.
    """

    name = "digests"

    def __init__(
        self,
        *,
        algorithms: Callable[[], tuple[str, ...]],
        is_listed: Callable[[Digests], bool],
        pids_of: Callable[[int], Iterable[int]],
        proc: Path = PROC,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hashed = self.left = 0
        self._algorithms, self._is_listed, self._pids_of = algorithms, is_listed, pids_of
        self._proc, self._clock_s = proc, clock_s
        self._waiting: queue.Queue[Request] = queue.Queue(MAX_WAITING)
        self._known: OrderedDict[_Same, Digests] = OrderedDict()
        self._minute, self._spent_bytes = 0, 0

    def ask(self, process: ProcessId, file: FileFacts, mnt_ns: int, *, is_exe: bool) -> None:
        """Have a file read, unless nothing is listed by digest. What has no room is counted."""
        if not self._algorithms():
            return
        try:
            self._waiting.put_nowait(Request(process, file, mnt_ns, is_exe))
        except queue.Full:
            self.left += 1

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """See Sensor."""
        while not stop.is_set():
            try:
                request = self._waiting.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            digests = self._digests(request)
            if digests and self._is_listed(digests):
                emit(FileHashed(time.time_ns(), request.process, request.file, dict(digests), request.mnt_ns))

    def _digests(self, request: Request) -> Digests:
        wanted = self._algorithms()
        same = _same(request.file)
        known = self._known.get(same, {})
        if not all(algorithm in known for algorithm in wanted):
            known = self._read(request, wanted)
            if not known:
                self.left += 1
                return known
            self.hashed += 1
            self._known[same] = known
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(same)
        return known

    def _read(self, request: Request, algorithms: tuple[str, ...]) -> Digests:
        if not 0 < request.file.size <= MAX_FILE_BYTES or not self._may_spend(request.file.size):
            return {}
        for opened in self._openings(request):
            try:
                with opened as fd:
                    if _same_of(fd) == _same(request.file):
                        return _hash(fd, algorithms)
            except (OSError, ProcessGone, Unavailable):
                continue  # it is gone there; perhaps it is seen elsewhere
        return {}

    def _openings(self, request: Request) -> Iterator[AbstractContextManager[int]]:
        if request.is_exe:
            yield _opened(f"{self._proc}/{request.process.pid}/exe")
        path = os.fsencode(request.file.path.removesuffix(" (deleted)"))
        others = [pid for pid in self._pids_of(request.mnt_ns) if pid != request.process.pid]
        for pid in (request.process.pid, *others)[:MAX_PIDS_TRIED]:
            yield _opened_within(pid, request.mnt_ns, path, self._proc)

    def _may_spend(self, size: int) -> bool:
        minute = int(self._clock_s() // 60)
        if minute != self._minute:
            self._minute, self._spent_bytes = minute, 0
        self._spent_bytes += size
        return self._spent_bytes <= MINUTE_BYTES


@contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = _open(path)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _opened_within(pid: int, mnt_ns: int, path: bytes, proc: Path) -> Iterator[int]:
    with opened_root(pid, mnt_ns, proc=proc) as root:
        looked = open_beneath(root, resolve(root, path), os.O_PATH)
    try:
        if not stat.S_ISREG(os.fstat(looked).st_mode):
            raise OSError("no regular file")
        with _opened(f"/proc/self/fd/{looked}") as fd:
            yield fd
    finally:
        os.close(looked)


def _open(path: str) -> int:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME)  # reading must leave no trace; needs FOWNER
    except PermissionError:
        return os.open(path, flags)


def _same(file: FileFacts) -> _Same:
    return file.dev, file.ino, file.size, file.mtime_ns


def _same_of(fd: int) -> _Same:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _hash(fd: int, algorithms: tuple[str, ...]) -> Digests:
    """Read to the end, or to the bound for a file that grows meanwhile."""
    hashes = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}
    left = MAX_FILE_BYTES
    while left > 0 and (part := os.read(fd, CHUNK_BYTES)):
        left -= len(part)
        for one in hashes.values():
            one.update(part)
    return {algorithm: one.hexdigest() for algorithm, one in hashes.items()}
