"""Libraries that no file watch told of: what processes have mapped executable, looked at for itself.

A library can be loaded from a memfd, from a file that is deleted already, or from a directory that is not watched.
Every second the mappings of the newest processes are read (37 us each) and compared with what was there before;
only what is new is looked at. A file counts

- with a name, if its ctime is at or after the container's creation: the drift record judges it;
- without one (memfd, deleted), if an ELF header lies at its beginning in the process's memory. Compilers at run
  time map memfds, too (.NET calls one `doublemapper`), but those hold bare code. A deleted file that was mapped
  while it still had its name, or whose name another file has now, was replaced by an upgrade.

What is mapped for less than a second may pass unseen.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from outrider_sidecar.decode.maps import DELETED, Mapping, executable_files, once_called, parse_maps
from outrider_sidecar.linux.procfs import PROC, file_facts, read_stat, read_whole
from outrider_sidecar.linux.rooted import find_in_root
from outrider_sidecar.sensors.library_table import LibraryTable, NewLibrary, match
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import FileFacts, LibraryLoaded

LOOK_NS: Final = 1_000_000_000
MAX_PROCESSES: Final = 64
"""Most processes of a container read in one look, newest first."""
MAX_OLD: Final = 16_384
"""Most files remembered as old; past that all are looked at again."""
FRESH_LOOKS: Final = 30
"""A file with a name is looked at again after so many looks: its content may have changed in place."""
MAX_MAPS_BYTES: Final = 4 * 1024 * 1024
_EXECUTABLE: Final = re.compile(rb"^[0-9a-f]+-[0-9a-f]+ ..x. [0-9a-f]+ \S+ [1-9]\d* +/.*$", re.MULTILINE)
_ELF: Final = b"\x7fELF"

Container = tuple[int, int]
"""Mount namespace and baseline (ns since the epoch)."""
Living = Callable[[int], Iterable[tuple[int, int]]]
"""Living processes of a mount namespace, newest first: pid, and inode of what an interpreter or ld.so runs there."""


class Strangers:
    """Finds new libraries by mappings alone. For one thread."""

    def __init__(
        self, table: LibraryTable, containers: Callable[[], Iterable[Container]], living: Living, *, proc: Path = PROC
    ) -> None:
        self._table = table
        self._containers = containers
        self._living = living
        self._proc = proc
        self._looks = 0
        self._before: dict[int, int] = {}
        self._old: dict[tuple[int, int, int], int] = {}

    def look(self, at_ns: int) -> Iterator[LibraryLoaded]:
        """Read the mappings of all containers' newest processes; tell of each new library once for each process."""
        self._looks += 1
        before, self._before = self._before, {}
        if len(self._old) > MAX_OLD:
            self._old.clear()
        for mnt_ns, baseline_ns in self._containers():
            for pid, runs in islice(self._living(mnt_ns), MAX_PROCESSES):
                try:
                    raw = read_whole(f"{self._proc}/{pid}/maps", limit=MAX_MAPS_BYTES)
                    lines = _EXECUTABLE.findall(raw)
                    self._before[pid] = mark = hash(tuple(lines))
                    if before.get(pid) != mark or not self._looks % FRESH_LOOKS:
                        yield from self._examine(pid, mnt_ns, baseline_ns, runs, raw, lines, at_ns)
                except (OSError, ProcessGone, Unavailable, ValueError):
                    continue  # gone, or not ours to read

    def _examine(
        self, pid: int, mnt_ns: int, baseline_ns: int, runs: int, raw: bytes, lines: list[bytes], at_ns: int
    ) -> Iterator[LibraryLoaded]:
        remembered = self._table.of_root(mnt_ns)
        for mapping in executable_files(b"\n".join(lines) + b"\n"):
            if mapping.ino == runs or match(mapping, remembered) is not None:
                continue  # the program itself, or the file watch's own finding
            file = self._judge(pid, mnt_ns, baseline_ns, mapping, raw)
            if file is None or self._is_program(pid, mapping):
                continue
            process = read_stat(pid, proc=self._proc).process
            if self._table.claim(process, NewLibrary(mnt_ns, file, mapping.dev)):
                yield LibraryLoaded(at_ns, process, file, mnt_ns=mnt_ns)

    def _judge(self, pid: int, mnt_ns: int, baseline_ns: int, mapping: Mapping, raw: bytes) -> FileFacts | None:
        """The facts of a file that may be new; None for an old one."""
        key = (mnt_ns, mapping.dev, mapping.ino)
        in_memory = mapping.path.startswith("/memfd:") and mapping.path.endswith(DELETED)
        nameless = in_memory or mapping.path.endswith(DELETED)
        known = self._old.get(key)
        if known is not None and (nameless or self._looks - known < FRESH_LOOKS):
            return None
        status = self._stat(pid, mapping.path)
        if status is not None and status.st_ino == mapping.ino:
            if status.st_ctime_ns >= baseline_ns:
                return file_facts(mapping.path, status)
        elif in_memory or (nameless and self._stat(pid, mapping.path.removesuffix(DELETED)) is None):
            if self._is_elf(pid, mapping, raw):
                return FileFacts(once_called(mapping.path), dev=mapping.dev, ino=mapping.ino, nlink=0)
            return None  # it may hold a library later
        self._old[key] = self._looks
        return None

    def _stat(self, pid: int, path: str) -> os.stat_result | None:
        try:
            return find_in_root(f"{self._proc}/{pid}/root", path.encode("utf-8", "surrogateescape"))[1]
        except OSError:
            return None

    def _is_elf(self, pid: int, mapping: Mapping, raw: bytes) -> bool:
        file = (mapping.dev, mapping.ino)
        starts = [each.start for each in parse_maps(raw) if (each.dev, each.ino) == file and not each.offset]
        memory = os.open(f"{self._proc}/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return any(os.pread(memory, len(_ELF), start) == _ELF for start in starts)
        finally:
            os.close(memory)

    def _is_program(self, pid: int, mapping: Mapping) -> bool:
        exe = f"{self._proc}/{pid}/exe"
        return os.stat(exe).st_ino == mapping.ino
