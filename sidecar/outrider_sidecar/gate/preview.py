"""A program that is about to start, as the rules are to see it: the process with the new file in the old one's place.

Read while the process stands in execve(2), so its facts are its own: ids, directory, streams, parent. What the start
itself sets (arguments, environment, name) is not known: it is empty, and rules that rest on it are refused when they
are loaded. Nothing of this enters the tree.
"""

import posixpath
from pathlib import Path
from typing import Final

from outrider_sidecar.fields.context import Context
from outrider_sidecar.gate.records import Question
from outrider_sidecar.linux.execfacts import FactReader
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.world.tree import Process
from outrider_sidecar.world.world import World
from outrider_wire.events import ProcessExecuted, ProcessId

MISSING: Final = ("argv", "execfn", "env", "script")
_NAME_LENGTH: Final = 15
_DELETED: Final = " (deleted)"


class Attempt:
    """What was read of who wants to start a program. Made in the asking thread; `before` is the program it runs now."""

    __slots__ = ("before", "event", "ppid", "question")

    def __init__(self, question: Question, event: ProcessExecuted, before: ProcessExecuted, ppid: int) -> None:
        self.question = question
        self.event = event
        self.before = before
        self.ppid = ppid

    @property
    def started_by(self) -> str:
        """The command line of the program that is to be replaced."""
        return " ".join(self.before.argv) or self.before.exe.path


class AttemptReader:
    """Reads who wants to start a program."""

    def __init__(self, *, proc: Path = PROC) -> None:
        self._reader = FactReader(proc=proc, sensor="gate")

    def read(self, question: Question) -> Attempt | None:
        """None where the process is gone: it was killed while it waited."""
        try:
            captured = self._reader.capture(question.pid, seen="found")
        finally:
            self._reader.directories.close(question.pid)
        if captured.birth is None:
            return None
        before = captured.event(None)
        event = ProcessExecuted(
            at_ns=question.at_ns,
            process=captured.process,
            comm=posixpath.basename(question.file.path.removesuffix(_DELETED))[:_NAME_LENGTH],
            exe=question.file,
            cwd=before.cwd,
            uid=before.uid,
            euid=before.euid,
            gid=before.gid,
            egid=before.egid,
            tty=before.tty,
            pgid=before.pgid,
            sid=before.sid,
            stdio=before.stdio,
            mnt_ns=question.mnt_ns,
            missing=MISSING,
            sensor="gate",
        )
        return Attempt(question, event, before, captured.birth.ppid)


def preview(attempt: Attempt, world: World) -> Context:
    """The event of the start, in the world as it would be just after it. In the engine's thread."""
    event = attempt.event
    known = world.tree.get(event.process)
    process = Process(
        event.process,
        known.parent if known is not None and known.parent is not None else _parent(attempt.ppid, world),
        known.started_at_ns if known is not None else event.at_ns,
        comm=event.comm,
        exe=event.exe,
        cwd=event.cwd,
        uid=event.uid,
        euid=event.euid,
        gid=event.gid,
        egid=event.egid,
        tty=event.tty,
        pgid=event.pgid,
        sid=event.sid,
        stdio=event.stdio,
        mnt_ns=event.mnt_ns,
        executed_at_ns=event.at_ns,
        entered=known.entered if known is not None else False,
    )
    context = Context(event, world)
    context.process = process
    context.container = world.containers.get(event.mnt_ns)
    return context


def _parent(pid: int, world: World) -> ProcessId | None:
    """A child that was just forked may not be known yet; its parent is, by its pid, while it lives."""
    parent = world.tree.by_pid(pid)
    return parent.id if parent is not None and parent.alive else None
