"""The process tree: who runs what, whose child it is, and who its ancestors were, also after they ended.

A process is kept while it lives, and after its end while it is among the ancestors of a kept one or among the
newest dead, within MAX_PROCESSES; in full while it is among the very last that ended. The tree belongs to the
engine's thread.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from outrider_wire.events import (
    Descriptor,
    FileFacts,
    ProcessExecuted,
    ProcessExited,
    ProcessId,
    ProcessStarted,
    Seen,
    SocketFacts,
)

MAX_PROCESSES: Final = 16_384
"""Most processes kept, living and dead; past that the oldest dead go first, whoever descends from them."""
MAX_DEAD: Final = 2_048
"""Most dead processes kept that are nobody's ancestors."""
MAX_DEAD_IN_FULL: Final = 256
"""Of how many that ended last the environment and the descriptors are kept, too: nobody asks for older ones."""
MAX_ANCESTORS: Final = 64
"""Deepest ancestry told of."""


class Process(Struct, weakref=True):
    """What is believed of one process. After a fork and before an exec it has its parent's program."""

    id: ProcessId
    parent: ProcessId | None
    started_at_ns: int
    seen: Seen = "exec"
    comm: str = ""
    exe: FileFacts = FileFacts(path="")
    argv: tuple[str, ...] = ()
    execfn: str = ""
    env: dict[str, str] = {}
    cwd: str = ""
    uid: int = -1
    euid: int = -1
    gid: int = -1
    egid: int = -1
    tty: int = 0
    pgid: int = 0
    sid: int = 0
    stdio: tuple[Descriptor, ...] = ()
    sockets: tuple[SocketFacts, ...] = ()
    script: FileFacts | None = None
    mnt_ns: int = 0
    executed_at_ns: int = 0
    exited_at_ns: int = 0
    held: tuple[Descriptor, ...] = ()
    held_sockets: tuple[SocketFacts, ...] = ()
    released: str = ""
    untraced: bool = False
    entered: bool = False
    """Came from outside the PID namespace: its parent cannot be seen from inside (a container's first process,
    ECS Exec). Nothing inside the task can make itself look so."""
    children: int = 0

    @property
    def alive(self) -> bool:
        return self.exited_at_ns == 0

    @property
    def name(self) -> str:
        """The kernel's name for it (15 bytes), else the last part of its executable."""
        return self.comm or self.exe.path.rpartition("/")[2]

    @property
    def cmdline(self) -> str:
        return " ".join(self.argv)


class ProcessTree:
    """Every known process by identity and, for the living, by pid."""

    def __init__(self, *, max_processes: int = MAX_PROCESSES, max_dead: int = MAX_DEAD) -> None:
        self._kept: dict[ProcessId, Process] = {}
        self._by_pid: dict[int, Process] = {}
        self._dead: OrderedDict[ProcessId, Process] = OrderedDict()
        self._in_full: deque[Process] = deque()
        self._max_processes = max_processes
        self._max_dead = max_dead
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, process: ProcessId | None) -> Process | None:
        return self._kept.get(process) if process is not None else None

    def by_pid(self, pid: int) -> Process | None:
        """The newest known process with that pid, living or dead."""
        return self._by_pid.get(pid)

    def start(self, event: ProcessStarted) -> Process:
        """Learn of a process that began; a fork starts with what its parent runs."""
        known = self._kept.get(event.process)
        if known is not None:
            known.untraced = known.untraced or event.untraced
            return known
        parent = self.get(event.parent)
        process = Process(event.process, event.parent, event.at_ns, seen=event.seen, untraced=event.untraced)
        process.mnt_ns = event.mnt_ns
        process.entered = event.parent is None or event.parent.pid == 0
        if parent is not None:
            _inherit(process, parent)
        self._keep(process)
        return process

    def execute(self, event: ProcessExecuted) -> Process:
        """Learn what a process runs now."""
        process = self._kept.get(event.process)
        if process is None:
            process = self.start(
                ProcessStarted(event.at_ns, event.process, event.parent, event.seen, mnt_ns=event.mnt_ns)
            )
        elif process.parent is None and event.parent is not None:
            self._adopt(process, event.parent)
        process.comm, process.exe, process.argv, process.execfn = event.comm, event.exe, event.argv, event.execfn
        process.env, process.cwd, process.script = event.env, event.cwd, event.script
        process.uid, process.euid, process.gid, process.egid = event.uid, event.euid, event.gid, event.egid
        process.tty, process.pgid, process.sid = event.tty, event.pgid, event.sid
        process.stdio, process.sockets = event.stdio, event.sockets
        process.executed_at_ns, process.seen = event.at_ns, event.seen
        process.mnt_ns = event.mnt_ns or process.mnt_ns
        return process

    def exit(self, event: ProcessExited) -> Process | None:
        """Learn that a process ended, and what it still held."""
        process = self._kept.get(event.process)
        if process is None or not process.alive:
            return process
        process.exited_at_ns = event.at_ns
        process.held, process.held_sockets = event.descriptors, event.sockets
        self._bury(process)
        self._forget_surplus()
        return process

    def ancestors(self, process: Process) -> Iterator[Process]:
        """Parents, nearest first, living or dead, as far as they are known."""
        seen = {process.id}
        for _ in range(MAX_ANCESTORS):
            parent = self.get(process.parent)
            if parent is None or parent.id in seen:
                return
            yield parent
            seen.add(parent.id)
            process = parent

    def living(self, mnt_ns: int | None = None) -> list[Process]:
        """Living processes, newest first, of one container or of all."""
        return [
            process
            for process in reversed(list(self._by_pid.values()))
            if process.alive and (mnt_ns is None or process.mnt_ns == mnt_ns)
        ]

    def recent_dead(self, *, limit: int) -> list[Process]:
        """The processes that ended last, newest first."""
        return [process for process, _ in zip(reversed(self._dead.values()), range(limit), strict=False)]

    def _adopt(self, process: Process, parent_id: ProcessId) -> None:
        process.parent = parent_id
        process.entered = parent_id.pid == 0
        if (parent := self.get(parent_id)) is not None:
            parent.children += 1

    def _keep(self, process: Process) -> None:
        earlier = self._by_pid.pop(process.id.pid, None)
        if earlier is not None and earlier.alive:  # its exit was missed: the pid could not be used again otherwise
            earlier.exited_at_ns = process.started_at_ns
            self._bury(earlier)
        self._kept[process.id] = process
        self._by_pid[process.id.pid] = process
        if (parent := self.get(process.parent)) is not None:
            parent.children += 1
        self._forget_surplus()

    def _bury(self, process: Process) -> None:
        """Put a process among the dead; the oldest that was kept in full loses what takes most."""
        self._dead[process.id] = process
        self._in_full.append(process)
        if len(self._in_full) > MAX_DEAD_IN_FULL:
            oldest = self._in_full.popleft()
            oldest.env, oldest.stdio, oldest.sockets, oldest.held, oldest.held_sockets = {}, (), (), (), ()

    def _forget_surplus(self) -> None:
        while len(self._dead) > self._max_dead or (len(self._kept) > self._max_processes and self._dead):
            must = len(self._kept) > self._max_processes
            oldest = next((p for p in self._dead.values() if must or p.children == 0), None)
            if oldest is None:
                return
            self._forget(oldest)

    def _forget(self, process: Process) -> None:
        del self._dead[process.id]
        self._kept.pop(process.id, None)
        if self._by_pid.get(process.id.pid) is process:
            del self._by_pid[process.id.pid]
        if (parent := self.get(process.parent)) is not None:
            parent.children -= 1
        self.forgotten += 1


def _inherit(child: Process, parent: Process) -> None:
    """What fork(2) copies. The descriptors are the parent's at its own exec: a hint, read anew where it matters."""
    child.comm, child.exe, child.argv, child.execfn = parent.comm, parent.exe, parent.argv, parent.execfn
    child.env, child.cwd, child.script = parent.env, parent.cwd, parent.script
    child.uid, child.euid, child.gid, child.egid = parent.uid, parent.euid, parent.gid, parent.egid
    child.tty, child.pgid, child.sid = parent.tty, parent.pgid, parent.sid
    child.stdio = parent.stdio
    child.mnt_ns = child.mnt_ns or parent.mnt_ns
