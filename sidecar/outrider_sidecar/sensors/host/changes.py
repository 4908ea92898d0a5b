"""From runs and reads to FileChanged: the file is looked at as the container has it, and the actor named.

A file that was closed after writing was looked at through the event's own descriptor. Any other is looked at through
the container's root, with no link followed; one that is gone by then has `nlink` 0.
"""

import stat
from collections.abc import Callable
from typing import Final, Literal

from outrider_sidecar.decode.elf import kind_of
from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.linux.rooted import HEAD_BYTES, look
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.host.containers import Marked
from outrider_sidecar.sensors.host.opens import Read
from outrider_sidecar.sensors.host.runs import GONE, Run
from outrider_wire.events import Attribution, FileChange, FileChanged, FileFacts, ProcessId
from outrider_wire.text import clean_text

CONTENT: Final = ("created", "moved_in", "written")
Kind = Literal["elf", "script", "dir", "other", ""]

Identify = Callable[[int], ProcessId | None]
"""Who has or lately had a pid; None for whoever is not guarded."""


class ChangeTeller:
    """Makes events. A change by somebody who is not guarded is told with no actor."""

    def __init__(self, identify: Identify, *, clock: Callable[[], int]) -> None:
        self._identify = identify
        self._clock = clock

    def tell(self, run: Run, container: Marked, emit: Emit) -> None:
        """Tell what happened to one name of a container."""
        actor, attribution = self._who(run.pid)
        now_ns = self._clock()
        change, facts, kind = self._facts(run, container, now_ns)
        emit(FileChanged(now_ns, change, facts, run.mnt_ns, kind, actor, attribution))

    def tell_read(self, read: Read, emit: Emit) -> None:
        """Tell that a listed file was read, if by somebody who is guarded."""
        actor, attribution = self._who(read.pid)
        if actor is None:
            return
        facts = file_facts(clean_text(read.path), read.status)
        kind: Kind = "dir" if stat.S_ISDIR(read.status.st_mode) else ""
        emit(FileChanged(self._clock(), "opened", facts, read.mnt_ns, kind, actor, attribution))

    def _who(self, pid: int) -> tuple[ProcessId | None, Attribution]:
        actor = self._identify(pid) if pid else None
        return actor, "exact" if actor is not None else "unknown"

    def _facts(self, run: Run, container: Marked, now_ns: int) -> tuple[FileChange, FileFacts, Kind]:
        path = clean_text(run.path)
        if run.change in GONE:
            return run.change, FileFacts(path, nlink=0), ""
        if run.write is not None:
            return run.change, file_facts(path, run.write.status), kind_of(run.write.head)
        root_fd = container.root(now_ns)
        try:
            if root_fd is None:
                raise FileNotFoundError
            status, head = look(root_fd, run.path, head_bytes=HEAD_BYTES if run.change in CONTENT else 0)
        except OSError:
            return run.change, FileFacts(path, nlink=0), ""
        return _read(run, file_facts(path, status), head)


def _read(run: Run, facts: FileFacts, head: bytes) -> tuple[FileChange, FileFacts, Kind]:
    if stat.S_ISDIR(facts.mode):
        return run.change, facts, "dir"
    if run.change not in CONTENT:
        return run.change, facts, ""
    if run.change == "created" and stat.S_ISREG(facts.mode) and facts.nlink > 1:
        return "linked", facts, ""
    return run.change, facts, kind_of(head)
