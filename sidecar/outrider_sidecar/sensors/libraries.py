"""New libraries in running processes: /proc/PID/maps, read when a new ELF file is opened.

Each new file that may be a library gets a watch of its own for IN_OPEN. inotify does not say who opened it, and the
mapping follows the opening by some microseconds, so the processes of that container are looked at, newest first,
at once and again after 5, 20 and 100 ms; and all of them in a slow sweep, for a file that was opened before its
watch stood. A process that ends sooner is left to the tracer, which reads mappings at exit stops while new
libraries are about (`wanted`). Libraries that no file watch told of are found by strangers.py, in the same thread.

What maps shows is a proof: attribution is exact. A process's own program is no library of it.
"""

import heapq
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from outrider_sidecar.decode.elf import ET_EXEC, HEADER_BYTES, is_pie, parse_elf
from outrider_sidecar.decode.maps import DELETED, Mapping, executable_files
from outrider_sidecar.linux import inotify
from outrider_sidecar.linux.inotify import OUT_OF_WATCHES, Inotify
from outrider_sidecar.linux.procfs import PROC, read_stat, read_whole
from outrider_sidecar.linux.rooted import look, open_beneath, opened_root
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.library_table import (
    MAX_LIBRARIES,
    LibraryTable,
    Match,
    NewLibrary,
    loaded_new_libraries,
    match,
)
from outrider_sidecar.sensors.strangers import LOOK_NS, Strangers
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import FileChanged, FileFacts, LibraryLoaded, ProcessExited, ProcessId, SightLost

SENSE: Final = "library"
LOOKS_NS: Final = (0, 5_000_000, 20_000_000, 100_000_000)
"""When processes are looked at after a new library was opened."""

SWEEP_NS: Final = 2_000_000_000
REST_NS: Final = (100_000_000, 2_000_000_000)
"""After a series of looks, the next waits at least, and where openings go on without a find, at most."""

MAX_PROCESSES: Final = 256
"""Most processes of a container read in one look, newest first: some 10 ms."""

MAX_MAPS_BYTES: Final = 4 * 1024 * 1024
MAX_QUEUED: Final = 4096
"""Most files waiting to be taken in; past that they are counted as lost."""

_CHANGES: Final = ("created", "linked", "moved_in", "written", "found")


class LibrarySensor:
    """Finds processes that have new ELF files mapped. `run` has a thread of its own; all else is for any thread.

    `pids_of(mnt_ns)` tells the living processes of a container, newest first; it is called in the sensor's
    thread, as are `containers` and `living` (see strangers.py) and `wanted`: with True when the first new file is
    remembered, with False when none is left.
    """

    name = "maps"

    def __init__(
        self,
        *,
        pids_of: Callable[[int], Iterable[int]],
        wanted: Callable[[bool], None] = lambda _: None,
        containers: Callable[[], Iterable[tuple[int, int]]] = lambda: (),
        living: Callable[[int], Iterable[tuple[int, int]]] = lambda _: (),
        proc: Path = PROC,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._pids_of = pids_of
        self._wanted = wanted
        self._proc = proc
        self._clock = clock
        self.table = LibraryTable()
        self._strangers = Strangers(self.table, containers, living, proc=proc)
        self._queue: deque[FileChanged | int] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lost = 0
        self._by_wd: dict[int, set[int]] = {}
        self._due: list[tuple[int, int]] = []
        self._rests: dict[int, tuple[int, int]] = {}
        self._watches: Inotify | None = None
        self.unavailable: Unavailable | None = None
        try:
            self._watches = Inotify()
        except Unavailable as error:
            self.unavailable = error

    def remember(self, event: FileChanged) -> None:
        """Take in a new ELF file; events of other kinds and of files that are gone are passed by."""
        if event.kind != "elf" or event.change not in _CHANGES or not event.file.ino:
            return
        if len(self._queue) >= MAX_QUEUED:
            self._lost += 1
            return
        self._queue.append(event)
        os.eventfd_write(self._wake, 1)

    def forget_root(self, mnt_ns: int) -> None:
        """Forget the files of a container that is gone."""
        self._queue.append(mnt_ns)
        os.eventfd_write(self._wake, 1)

    def at_exit(self, event: ProcessExited, mnt_ns: int, exe: FileFacts | None = None) -> list[LibraryLoaded]:
        """New libraries that a process had when it ended and that were not told of."""
        return loaded_new_libraries(event, self.table, mnt_ns, exe=exe)

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Block until `stop`. Without inotify the slow sweep alone is left, and that is told."""
        if self.unavailable is not None:
            reason = f"{self.unavailable.reason}; {self.unavailable.remedy}; libraries are found by sweeps alone"
            emit(SightLost(self._clock(), SENSE, reason))
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if self._watches is not None:
            poller.register(self._watches.fileno(), select.POLLIN)
        sweep_ns = look_ns = self._clock() + SWEEP_NS
        while not stop.is_set():
            self._take_in(emit)
            self._heed_openings()
            now_ns = self._clock()
            if now_ns >= sweep_ns:
                sweep_ns = now_ns + SWEEP_NS
                self._due += [(now_ns, mnt_ns) for mnt_ns in self.table.roots()]
                heapq.heapify(self._due)
            self._look_due(now_ns, emit)
            if now_ns >= look_ns:
                look_ns = now_ns + LOOK_NS
                for event in self._strangers.look(now_ns):
                    emit(event)
            poller.poll(self._wait_ms())
        self.close()

    def close(self) -> None:
        """Give the inotify instance back."""
        if self._watches is not None:
            self._watches.close()
            self._watches = None

    def _wait_ms(self) -> float:
        return max(0.0, min(1000.0, (self._due[0][0] - self._clock()) / 1e6)) if self._due else 1000.0

    def _take_in(self, emit: Emit) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            pass  # nothing was queued since the last turn
        while self._queue:
            item = self._queue.popleft()
            before = len(self.table)
            if isinstance(item, int):
                self._forget(item)
            else:
                self._examine(item, emit)
            if bool(before) != bool(len(self.table)):
                self._wanted(bool(len(self.table)))
        if self._lost or self.table.forgotten:
            lost, self._lost = self._lost + self.table.forgotten, 0
            self.table.forgotten = 0
            emit(SightLost(self._clock(), SENSE, "more new ELF files than can be remembered", lost))

    def _examine(self, event: FileChanged, emit: Emit) -> None:
        """Remember a file, with the device maps will show and whether it can only be a program; and watch it."""
        file, path = event.file, event.file.path.encode("utf-8", "surrogateescape")
        library = NewLibrary(event.mnt_ns, file, file.dev)
        for pid in islice(self._pids_of(event.mnt_ns), 8):
            try:
                with opened_root(pid, event.mnt_ns, proc=self._proc) as root:
                    library = NewLibrary(event.mnt_ns, file, os.fstat(root).st_dev)
                    above, _ = look(root, path.rpartition(b"/")[0] or b"/")
                    status, head = look(root, path, head_bytes=HEADER_BYTES)
                    if status.st_ino == file.ino:
                        library = NewLibrary(event.mnt_ns, file, above.st_dev, _only_program(root, path, head))
                        if not library.program:
                            self._watch(root, path, event.mnt_ns, emit)
                break
            except ProcessGone:
                continue
            except (OSError, Unavailable):
                break  # gone or not ours to read: it is matched by device and inode alone
        self.table.remember(library)
        self._series(event.mnt_ns)

    def _watch(self, root: int, path: bytes, mnt_ns: int, emit: Emit) -> None:
        if self._watches is None:
            return
        fd = open_beneath(root, path, os.O_PATH)
        try:
            wd = self._watches.add_descriptor(fd, inotify.OPEN)
            self._by_wd.setdefault(wd, set()).add(mnt_ns)
            if len(self._by_wd) > MAX_LIBRARIES:
                self._unwatch(next(iter(self._by_wd)))
        except OSError as error:
            if error.errno not in OUT_OF_WATCHES:
                raise
            reason = "the kernel's watches are used up; raise fs.inotify.max_user_watches"
            emit(SightLost(self._clock(), SENSE, reason, 1))
        finally:
            os.close(fd)

    def _unwatch(self, wd: int) -> None:
        del self._by_wd[wd]
        if self._watches is not None:
            self._watches.remove(wd)

    def _forget(self, mnt_ns: int) -> None:
        self.table.forget_root(mnt_ns)
        self._rests.pop(mnt_ns, None)
        for wd, roots in list(self._by_wd.items()):
            roots.discard(mnt_ns)
            if not roots:
                self._unwatch(wd)

    def _heed_openings(self) -> None:
        for event in self._watches.read() if self._watches is not None else ():
            if event.mask & (inotify.IGNORED | inotify.UNMOUNT):
                self._by_wd.pop(event.wd, None)
            elif event.wd in self._by_wd:
                for mnt_ns in self._by_wd[event.wd]:
                    self._series(mnt_ns)
            elif event.mask & inotify.Q_OVERFLOW:
                for mnt_ns in self.table.roots():
                    self._series(mnt_ns)

    def _series(self, mnt_ns: int) -> None:
        """Plan looks at a container, unless some are planned; where openings do not end, ever more rarely."""
        now_ns = self._clock()
        until_ns, rest_ns = self._rests.get(mnt_ns, (0, REST_NS[0]))
        if any(due_mnt_ns == mnt_ns for _, due_mnt_ns in self._due) and now_ns < until_ns:
            return
        start_ns = max(now_ns, until_ns)
        rest_ns = REST_NS[0] if now_ns > until_ns else min(2 * rest_ns, REST_NS[1])
        self._rests[mnt_ns] = (start_ns + LOOKS_NS[-1] + rest_ns, rest_ns)
        for after_ns in LOOKS_NS:
            heapq.heappush(self._due, (start_ns + after_ns, mnt_ns))

    def _look_due(self, now_ns: int, emit: Emit) -> None:
        due = []
        while self._due and self._due[0][0] <= now_ns:
            due.append(heapq.heappop(self._due)[1])
        for mnt_ns in dict.fromkeys(due):
            self.look_at_all(mnt_ns, emit)

    def look_at_all(self, mnt_ns: int, emit: Emit) -> None:
        """Read the mappings of a container's processes and tell of new libraries in them."""
        libraries = self.table.of_root(mnt_ns)
        if not libraries:
            return
        needles = [b" %d " % library.file.ino for library in libraries]
        for pid in islice(self._pids_of(mnt_ns), MAX_PROCESSES):
            try:
                raw = read_whole(f"{self._proc}/{pid}/maps", limit=MAX_MAPS_BYTES)
                if not any(needle in raw for needle in needles):
                    continue
                found = [(mapping, match(mapping, libraries)) for mapping in executable_files(raw)]
                self._tell(pid, [(mapping, hit) for mapping, hit in found if hit is not None], emit)
            except (OSError, ProcessGone, Unavailable, ValueError):
                continue  # gone, or not ours to read: the tracer's exit stop is what is left

    def _tell(self, pid: int, hits: list[tuple[Mapping, Match]], emit: Emit) -> None:
        if not hits:
            return
        process = read_stat(pid, proc=self._proc).process
        own = os.stat(f"{self._proc}/{pid}/exe")
        for mapping, hit in hits:
            library = hit.library
            if (own.st_dev, own.st_ino) == (library.file.dev, library.file.ino):
                continue
            if (hit.certain or self._same(pid, mapping, library)) and self.table.claim(process, library):
                emit(_loaded(self._clock(), process, library))

    def _same(self, pid: int, mapping: Mapping, library: NewLibrary) -> bool:
        """Whether a mapping under another name is this file and not one of another layer with the same inode."""
        path = mapping.path.encode("utf-8", "surrogateescape")
        try:
            with opened_root(pid, library.mnt_ns, proc=self._proc) as root:
                status, _ = look(root, path)
        except OSError:
            return mapping.path.endswith(DELETED)
        return (status.st_dev, status.st_ino) == (library.file.dev, library.file.ino)


def _loaded(at_ns: int, process: ProcessId, library: NewLibrary) -> LibraryLoaded:
    return LibraryLoaded(at_ns, process, library.file, mnt_ns=library.mnt_ns)


def _only_program(root: int, path: bytes, head: bytes) -> bool:
    """A file that no loader takes for a library: linked for one address, or marked as a program (DF_1_PIE)."""
    try:
        elf = parse_elf(head)
    except ValueError:
        return False
    if elf.type == ET_EXEC:
        return True
    section = elf.dynamic
    if section is None or section.offset >= 1 << 62:
        return False
    fd = open_beneath(root, path, os.O_PATH)
    try:
        handle = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return is_pie(os.pread(handle, min(section.size, 4096), section.offset), elf)
        finally:
            os.close(handle)
    finally:
        os.close(fd)
