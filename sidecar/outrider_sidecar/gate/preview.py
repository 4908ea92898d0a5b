"""A program that is about to start, as the rules are to see it: the process with the new file in the old one's place.

Read while the process stands in execve(2), so its facts are its own: ids, directory, streams, parent. So are those of
its living ancestors: the tree may not have heard yet what a parent runs that began a millisecond ago, and a build would
be refused for it. What the start itself sets (arguments, environment, name) is not known: it is empty, and rules that
rest on it are refused when they are loaded. Nothing of this enters the tree.
"""

import posixpath
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from outrider_sidecar.fields.context import Context
from outrider_sidecar.gate.records import Question
from outrider_sidecar.linux.execfacts import FactReader
from outrider_sidecar.linux.procfs import PROC, Stat, read_stat
from outrider_sidecar.world.tree import MAX_ANCESTORS, Process
from outrider_sidecar.world.world import World
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import ProcessExecuted, ProcessId

MISSING: Final = ("argv", "execfn", "env", "script")
MAX_LINE: Final = 16
"""Most living ancestors read; those above are taken from the tree."""
MAX_KNOWN: Final = 512
"""Most ancestors remembered."""
_NAME_LENGTH: Final = 15
_DELETED: Final = " (deleted)"


class Attempt:
    """Who wants to start what. `before` is what the process runs now; `line` are its ancestors, nearest first."""

    __slots__ = ("before", "line", "question")

    def __init__(self, question: Question, before: ProcessExecuted, line: list[ProcessExecuted]) -> None:
        self.question = question
        self.before = before
        self.line = line

    @property
    def event(self) -> ProcessExecuted:
        """The event that the start would be."""
        file = self.question.file
        return replace(
            self.before,
            at_ns=self.question.at_ns,
            seen="exec",
            comm=posixpath.basename(file.path.removesuffix(_DELETED))[:_NAME_LENGTH],
            exe=file,
            argv=(),
            execfn="",
            env={},
            script=None,
            ordered=(),
            mnt_ns=self.question.mnt_ns,
            missing=MISSING,
        )

    @property
    def started_by(self) -> str:
        """The command line of the program that is to be replaced."""
        return " ".join(self.before.argv) or self.before.exe.path


class AttemptReader:
    """Reads who wants to start a program; in the asking thread."""

    def __init__(self, *, proc: Path = PROC) -> None:
        self._proc = proc
        self._reader = FactReader(proc=proc, sensor="gate")
        self._known: OrderedDict[tuple[int, int, int], ProcessExecuted] = OrderedDict()

    def read(self, question: Question) -> Attempt | None:
        """None where the process is gone: it was killed while it waited."""
        before = self._read(question.pid)
        birth = self._birth(question.pid)
        if before is None or birth is None:
            return None
        line: list[ProcessExecuted] = []
        while birth is not None and birth.ppid > 1 and len(line) < MAX_LINE:
            pid, birth = birth.ppid, self._birth(birth.ppid)
            above = self._recall(pid, birth) if birth is not None else None
            if above is None or above.mnt_ns != question.mnt_ns:
                break
            line.append(above)
        return Attempt(question, before, line)

    def _birth(self, pid: int) -> Stat | None:
        try:
            return read_stat(pid, proc=self._proc)
        except (ProcessGone, Unavailable, ValueError):
            return None

    def _recall(self, pid: int, birth: Stat) -> ProcessExecuted | None:
        """What an ancestor runs; read once for each program it starts, which gives it a stack elsewhere."""
        key = (pid, birth.start_ticks, birth.stack)
        known = self._known.get(key)
        if known is None and (known := self._read(pid)) is not None:
            self._known[key] = known
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return known

    def _read(self, pid: int) -> ProcessExecuted | None:
        try:
            captured = self._reader.capture(pid, seen="found")
        finally:
            self._reader.directories.close(pid)
        return captured.event(None) if captured.birth is not None else None


class Preview(Context):
    """The event of a start, in the world as it would be just after it. In the engine's thread."""

    __slots__ = ()

    def __init__(self, attempt: Attempt, world: World) -> None:
        event = attempt.event
        super().__init__(event, world)
        known = world.tree.get(event.process)
        above = attempt.line[0].process if attempt.line else None
        self.process = _process(event, known, known.parent if known is not None and known.parent is not None else above)
        self.container = world.containers.get(event.mnt_ns)
        self._ancestors = _ancestors(self.process.parent, attempt.line, world)


def _ancestors(parent: ProcessId | None, line: list[ProcessExecuted], world: World) -> list[Process]:
    """By the tree, which knows the dead too, but what a living one runs is what was read of it."""
    read = {one.process: one for one in line}
    above = {one.process: upper.process for one, upper in pairwise(line)}
    found: list[Process] = []
    while parent is not None and len(found) < MAX_ANCESTORS:
        known, fresh = world.tree.get(parent), read.pop(parent, None)
        upper = known.parent if known is not None and known.parent is not None else above.get(parent)
        if fresh is not None and (known is None or not _runs(known, fresh)):
            known = _process(fresh, known, upper)
        if known is None:
            break
        found.append(known)
        parent = upper
    return found


def _runs(known: Process, fresh: ProcessExecuted) -> bool:
    return (known.exe.dev, known.exe.ino, known.argv) == (fresh.exe.dev, fresh.exe.ino, fresh.argv)


def _process(event: ProcessExecuted, known: Process | None, parent: ProcessId | None) -> Process:
    return Process(
        event.process,
        parent,
        known.started_at_ns if known is not None else event.at_ns,
        seen=event.seen,
        comm=event.comm,
        exe=event.exe,
        argv=event.argv,
        cwd=event.cwd,
        uid=event.uid,
        euid=event.euid,
        gid=event.gid,
        egid=event.egid,
        tty=event.tty,
        pgid=event.pgid,
        sid=event.sid,
        stdio=event.stdio,
        script=event.script,
        mnt_ns=event.mnt_ns,
        executed_at_ns=event.at_ns,
        entered=known.entered if known is not None else False,
    )
