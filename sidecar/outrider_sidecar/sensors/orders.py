"""Libraries a program is started with orders to load: LD_PRELOAD, LD_AUDIT, LD_LIBRARY_PATH and /etc/ld.so.preload."""

import os
from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from outrider_sidecar.decode.maps import once_called
from outrider_sidecar.decode.preload import candidates, library_directories, parse_ld_so_preload, preloaded
from outrider_sidecar.linux.procfs import PROC, file_facts, read_bytes
from outrider_sidecar.linux.rooted import stat_in_root
from outrider_wire.events import FileChanged, FileFacts, LibraryLoaded, ProcessExecuted

LD_SO_PRELOAD: Final = "/etc/ld.so.preload"
LOOK_EVERY_NS: Final = 100_000_000
MAX_PRELOAD_BYTES: Final = 64 * 1024

RootsOf = Callable[[int, int], Iterable[str]]
"""Roots (`/proc/PID/root`) through which a container's files can be reached: its own pid first, then others."""


class LibraryOrders:
    """Turns orders to load into LibraryLoaded. Belongs to the engine's thread."""

    def __init__(self, roots_of: RootsOf) -> None:
        self._roots_of = roots_of
        self._for_all: dict[int, tuple[str, ...]] = {}
        self._told: set[tuple[int, str]] = set()
        self._looked_at_ns: dict[int, int] = {}

    def of(self, event: ProcessExecuted) -> list[LibraryLoaded]:
        """What this program was started with orders to load, as it lies in its container."""
        self._look_again(event)
        names = preloaded(event)
        everywhere = self._for_all.get(event.mnt_ns, ())
        if not names and not everywhere:
            return []
        directories = library_directories(event)
        paths = [path for name in names for path in candidates(name, directories)]
        found = [_loaded(event, file, "ld_preload") for file in self._stat_all(event, paths)]
        ordered = [replace(file, path=once_called(file.path)) if not file.nlink else file for file in event.ordered]
        found += [_loaded(event, file, "ld_preload") for file in ordered]
        for file in self._stat_all(event, everywhere):
            if (event.mnt_ns, file.path) not in self._told:
                self._told.add((event.mnt_ns, file.path))
                found.append(_loaded(event, file, "ld_so_preload"))
        return found

    def changed(self, event: FileChanged) -> None:
        """Read /etc/ld.so.preload again where it changed: every program started from now on obeys it."""
        if event.file.path == LD_SO_PRELOAD:
            self._read(0, event.mnt_ns)

    def _look_again(self, event: ProcessExecuted) -> None:
        """The watch may be behind, or not there yet: look for the file now and then, at an exec."""
        if event.at_ns - self._looked_at_ns.get(event.mnt_ns, 0) >= LOOK_EVERY_NS:
            self._looked_at_ns[event.mnt_ns] = event.at_ns
            self._read(event.process.pid, event.mnt_ns)

    def _read(self, pid: int, mnt_ns: int) -> None:
        for root in self._roots_of(pid, mnt_ns):
            try:
                content = read_bytes(root + LD_SO_PRELOAD, limit=MAX_PRELOAD_BYTES)
            except FileNotFoundError:
                if not os.path.exists(root):
                    continue  # that process ended: the next root tells
                break
            except OSError:
                continue
            self._for_all[mnt_ns] = tuple(parse_ld_so_preload(content))
            return
        self._for_all.pop(mnt_ns, None)

    def _stat_all(self, event: ProcessExecuted, paths: Iterable[str]) -> list[FileFacts]:
        found = []
        for path in dict.fromkeys(paths):
            for root in self._roots_of(event.process.pid, event.mnt_ns):
                try:
                    found.append(file_facts(path, stat_in_root(root, path.encode("utf-8", "surrogateescape"))))
                    break
                except OSError:
                    continue  # no such file, or that process ended: the next root tells
        return found


def _loaded(event: ProcessExecuted, file: FileFacts, how: str) -> LibraryLoaded:
    return LibraryLoaded(
        event.at_ns,
        event.process,
        file,
        how="ld_preload" if how == "ld_preload" else "ld_so_preload",
        mnt_ns=event.mnt_ns,
    )


def root_of(pid: int) -> str:
    """Where another process's root is reached."""
    return f"{PROC}/{pid}/root"
