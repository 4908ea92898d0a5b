"""From what two groups told to what happened: what a burst about one file comes to. Pure.

The names group tells that a file was made, the opens group that its writer closed it, and there is no order between
the two. Whoever reads the opens group first knows that the creation of each file in it has been queued: so a file
that was made and written is told of once, as created. What a run of changes of one name by one process comes to is
its first change that says most; a deletion or a move away ends the run.
"""

import os
from collections.abc import Iterable
from typing import Final, NamedTuple

from outrider_sidecar.sensors.host.names import Named
from outrider_wire.events import FileChange

GONE: Final = ("moved_out", "deleted")


class Write(NamedTuple):
    """A file that was closed after writing, as it was found then."""

    pid: int
    mnt_ns: int
    path: bytes
    status: os.stat_result
    head: bytes


class Run:
    """What happened to one name. `write` is the last close after writing among it."""

    __slots__ = ("change", "mnt_ns", "path", "pid", "write")

    def __init__(self, pid: int, change: FileChange, mnt_ns: int, path: bytes) -> None:
        self.pid = pid
        self.change: FileChange = change
        self.mnt_ns = mnt_ns
        self.path = path
        self.write: Write | None = None


def put_together(named: Iterable[Named], writes: Iterable[Write]) -> list[Run]:
    """What the changes and the writes of one turn come to, in order."""
    runs: list[Run] = []
    latest: dict[tuple[int, bytes], Run] = {}
    before_end: dict[tuple[int, bytes], Run] = {}
    for pid, change, mnt_ns, path in named:
        key = (mnt_ns, path)
        run = latest.get(key)
        if run is not None and run.pid == pid and run.change not in GONE and change not in (*GONE, "moved_in"):
            if run.change == "attributes":
                run.change = change
            continue
        if run is not None and change in GONE and run.change not in GONE:
            before_end[key] = run
        latest[key] = Run(pid, change, mnt_ns, path)
        runs.append(latest[key])
    for write in writes:
        _add_write(write, runs, latest, before_end)
    return runs


def _add_write(
    write: Write,
    runs: list[Run],
    latest: dict[tuple[int, bytes], Run],
    before_end: dict[tuple[int, bytes], Run],
) -> None:
    key = (write.mnt_ns, write.path)
    run = latest.get(key)
    if run is not None and run.change in GONE:
        run = before_end.get(key)
    if run is not None and run.pid == write.pid:
        run.write = write
        if run.change == "attributes":
            run.change = "written"
        return
    if not write.status.st_nlink:
        return  # it has no name any more, and its end is told of by that
    written = Run(write.pid, "written", write.mnt_ns, write.path)
    written.write = write
    runs.append(written)
    latest[key] = written
