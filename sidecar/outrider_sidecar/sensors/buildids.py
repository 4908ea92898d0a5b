"""Build ids of programs: what names a shell that was copied under another name."""

import os
from collections.abc import Callable, Iterable
from typing import Final

from outrider_sidecar.decode.elf import parse_elf
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.sensors.orders import root_of
from outrider_sidecar.world.shells import SHELL_PLACES
from outrider_sidecar.world.tree import Process

HEAD_BYTES: Final = 16 * 1024
"""The program headers and the build id's note lie in the first pages of an ordinary program."""


class BuildIds:
    """Reads build ids; a container's own shells are read once."""

    def __init__(self, pids_of: Callable[[int], Iterable[int]]) -> None:
        self._pids_of = pids_of
        self._shells: dict[int, frozenset[str]] = {}

    def of_process(self, process: Process) -> str:
        """The build id of the program a process runs; empty where it has none or cannot be read."""
        return _read(f"{PROC}/{process.id.pid}/exe")

    def of_shells(self, mnt_ns: int) -> frozenset[str]:
        """The build ids of a container's own shells."""
        known = self._shells.get(mnt_ns)
        if known is None:
            known = frozenset(self._read_shells(mnt_ns))
            if known:
                self._shells[mnt_ns] = known
        return known

    def forget(self, mnt_ns: int) -> None:
        """The container has ended: its number may be given to another."""
        self._shells.pop(mnt_ns, None)

    def _read_shells(self, mnt_ns: int) -> set[str]:
        for pid in self._pids_of(mnt_ns):
            found = {_read(root_of(pid) + place) for place in SHELL_PLACES} - {""}
            if found:
                return found
        return set()


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return parse_elf(os.read(fd, HEAD_BYTES)).build_id
    except (OSError, ValueError):
        return ""
    finally:
        os.close(fd)
