"""New ELF files that may be loaded as libraries, and which process was told to have which. Pure, and thread-safe.

A mapping is matched to a file by inode first. The device is no help by itself: on overlayfs, stat(2) of a file names
a device of its layer, and /proc/PID/maps the overlay's, which is the one that stat names for directories. So a
file is kept with both. Inodes of different layers can be equal: where the mapping's name is not the file's, the
caller has to look (`Match.certain`). A name may have more in front of it, where the reader sees the container's
root from outside.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from outrider_sidecar.decode.maps import DELETED, Mapping
from outrider_wire.events import FileFacts, LibraryLoaded, ProcessExited, ProcessId

MAX_LIBRARIES: Final = 1024
"""Most new ELF files remembered; the oldest is forgotten first, and counted."""

MAX_TOLD: Final = 8192
"""Most pairs of process and library remembered as told."""


class NewLibrary(Struct, frozen=True, gc=False):
    """A new ELF file. `map_dev` is the device that maps would show for it. `program`: it can only be a program."""

    mnt_ns: int
    file: FileFacts
    map_dev: int
    program: bool = False


class Match(Struct, frozen=True, gc=False):
    """A mapping that is a new library; `certain` where name and inode agree."""

    library: NewLibrary
    certain: bool


class LibraryTable:
    """What is new and could be loaded."""

    def __init__(self, *, max_libraries: int = MAX_LIBRARIES) -> None:
        self._lock = threading.Lock()
        self._max = max_libraries
        self._new: OrderedDict[tuple[int, int, int], NewLibrary] = OrderedDict()
        self._told: OrderedDict[tuple[ProcessId, int, int], None] = OrderedDict()
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._new)

    def remember(self, library: NewLibrary) -> None:
        """Add a file, or note that a known one changed again."""
        key = (library.mnt_ns, library.file.dev, library.file.ino)
        with self._lock:
            self._new[key] = library
            self._new.move_to_end(key)
            while len(self._new) > self._max:
                self._new.popitem(last=False)
                self.forgotten += 1

    def forget_root(self, mnt_ns: int) -> None:
        """Forget a container's files."""
        with self._lock:
            for key in [key for key in self._new if key[0] == mnt_ns]:
                del self._new[key]

    def of_root(self, mnt_ns: int) -> list[NewLibrary]:
        with self._lock:
            return [library for library in self._new.values() if library.mnt_ns == mnt_ns]

    def roots(self) -> list[int]:
        """The containers that have new files."""
        with self._lock:
            return list(dict.fromkeys(library.mnt_ns for library in self._new.values()))

    def claim(self, process: ProcessId, library: NewLibrary) -> bool:
        """Whether this pair is to be told of: true once."""
        key = (process, library.file.dev, library.file.ino)
        with self._lock:
            if key in self._told:
                return False
            self._told[key] = None
            while len(self._told) > MAX_TOLD:
                self._told.popitem(last=False)
            return True


def match(mapping: Mapping, libraries: Iterable[NewLibrary]) -> Match | None:
    """The new library that a mapping is of."""
    for library in libraries:
        if mapping.ino != library.file.ino:
            continue
        certain = mapping.path.removesuffix(DELETED).endswith(library.file.path)
        if certain or mapping.dev in (library.file.dev, library.map_dev):
            return Match(library, certain)
    return None


def loaded_new_libraries(
    exited: ProcessExited, table: LibraryTable, mnt_ns: int, *, exe: FileFacts | None = None
) -> list[LibraryLoaded]:
    """New libraries that a process had mapped when it ended and that were not told of before.

    `exe` is what it ran: no library of its own. Where it is not given, files that can only be programs are
    passed over.
    """
    libraries = table.of_root(mnt_ns) if exited.libraries else []
    loaded = []
    for file in exited.libraries:
        for library in libraries:
            if file.ino != library.file.ino or file.dev not in (library.file.dev, library.map_dev):
                continue
            own = (exe.dev, exe.ino) == (library.file.dev, library.file.ino) if exe else library.program
            if not own and table.claim(exited.process, library):
                loaded.append(LibraryLoaded(exited.at_ns, exited.process, library.file, mnt_ns=mnt_ns))
    return loaded
