"""Memory: what earlier events told of an agent's processes and containers, so that later records can say who.

An event names its process by pid and start alone. What ran there, whose child it was and in which container were
told when it started; that is kept here, bounded, and lost when the lake's writer starts anew: then a record says the
pid until the process is told of again, which is never wrong, only less.
"""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from outrider_wire.events import ContainerSeen, ProcessExecuted, ProcessId, ProcessStarted

MAX_AGENTS: Final = 20_000
MAX_PROCESSES: Final = 150_000
"""Processes remembered of all agents together, some 400 bytes each."""
MAX_PROCESSES_OF_AGENT: Final = 20_000
MAX_CONTAINERS_OF_AGENT: Final = 4096
MAX_LINEAGE: Final = 8
MAX_NAME: Final = 512
MAX_COMMAND: Final = 2048
"""How many characters of a command line go with each record of its process; its own record has them all."""


class Known(Struct, frozen=True, gc=False):
    """A process as it was last told of. `lineage` are the programs of its ancestors, nearest first."""

    process: ProcessId | None = None
    parent: ProcessId | None = None
    name: str | None = None
    exe: str | None = None
    cmd_line: str | None = None
    uid: int = -1
    mnt_ns: int = 0
    started_at_ns: int | None = None
    lineage: tuple[str, ...] = ()
    parent_name: str | None = None
    parent_exe: str | None = None
    parent_cmd_line: str | None = None


NOBODY: Final = Known()


class AgentMemory:
    """What one agent told."""

    def __init__(self) -> None:
        self.processes: dict[ProcessId, Known] = {}
        self.containers: dict[int, ContainerSeen] = {}

    def find(self, process: ProcessId | None) -> Known:
        """A process as it is known; by its pid alone where it is not."""
        if process is None:
            return NOBODY
        return self.processes.get(process) or Known(process)

    def start(self, event: ProcessStarted) -> Known:
        """A new process runs its parent's program, until it executes another."""
        before = self.find(event.parent)
        known = Known(
            event.process,
            event.parent,
            before.name,
            before.exe,
            before.cmd_line,
            before.uid,
            event.mnt_ns or before.mnt_ns,
            event.at_ns,
            self._lineage(before),
            before.name,
            before.exe,
            before.cmd_line,
        )
        self._keep(event.process, known)
        return known

    def execute(self, event: ProcessExecuted) -> Known:
        """A process runs another program."""
        before = self.processes.get(event.process, NOBODY)
        parent = event.parent or before.parent
        above = self.find(parent)
        command = " ".join(event.argv[:64])
        known = Known(
            event.process,
            parent,
            event.comm[:MAX_NAME] or None,
            event.exe.path[:MAX_COMMAND] or None,
            command[:MAX_COMMAND] or None,
            event.uid,
            event.mnt_ns or before.mnt_ns,
            before.started_at_ns,
            self._lineage(above),
            above.name,
            above.exe,
            above.cmd_line,
        )
        self._keep(event.process, known)
        return known

    def contain(self, event: ContainerSeen) -> bool:
        """Note what a container is; whether that is news."""
        before = self.containers.get(event.mnt_ns)
        if before is None and len(self.containers) >= MAX_CONTAINERS_OF_AGENT:
            del self.containers[next(iter(self.containers))]
        self.containers[event.mnt_ns] = event
        return before is None or _facts(before) != _facts(event)

    def _keep(self, process: ProcessId, known: Known) -> None:
        if len(self.processes) >= MAX_PROCESSES_OF_AGENT and process not in self.processes:
            del self.processes[next(iter(self.processes))]
        self.processes[process] = known

    @staticmethod
    def _lineage(parent: Known) -> tuple[str, ...]:
        return (parent.exe, *parent.lineage)[:MAX_LINEAGE] if parent.exe else ()


def _facts(seen: ContainerSeen) -> tuple[str, ...]:
    return seen.id, seen.name, seen.image, seen.task_arn, seen.cluster, seen.family, seen.revision


class Memory:
    """The agents' memories; the ones heard of longest ago go first."""

    def __init__(self) -> None:
        self._agents: OrderedDict[str, AgentMemory] = OrderedDict()

    def of(self, agent: str) -> AgentMemory:
        """The memory of an agent that speaks now."""
        memory = self._agents.get(agent)
        if memory is None:
            memory = self._agents[agent] = AgentMemory()
        self._agents.move_to_end(agent)
        return memory

    def trim(self) -> None:
        """Come back under the bounds; for after each group of batches."""
        kept = sum(len(each.processes) for each in self._agents.values())
        while self._agents and (kept > MAX_PROCESSES or len(self._agents) > MAX_AGENTS):
            kept -= len(self._agents.popitem(last=False)[1].processes)
