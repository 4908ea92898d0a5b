"""Rows: events with what is known of their process and their origin, sorted by kind, ready to become columns.

This is the one loop of the lake that runs for each event in Python; all behind it works on whole columns.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct, field

from outrider_collector.lake.memory import NOBODY, AgentMemory, Known, Memory
from outrider_collector.lake.origins import Origin, finding_origin, origin_of
from outrider_wire import events
from outrider_wire.events import ContainerSeen, Event, ProcessExecuted, ProcessExited, ProcessId, ProcessStarted
from outrider_wire.findings import Finding

Row = tuple[Any, int, Known, int]
"""The event, the number of its origin in `Rows.origins`, its process, and its number in the batch."""

ACTOR: Final[dict[type, str]] = {
    events.ProcessExited: "process",
    events.ProcessReleased: "process",
    events.FileChanged: "actor",
    events.LibraryLoaded: "process",
    events.ConnectionOpened: "owner",
    events.NameQueried: "owner",
    events.NameResolved: "owner",
    events.ServerNamed: "owner",
    events.StdioTied: "process",
    events.SyscallMade: "process",
}
"""The attribute that names an event's process."""


class Rows(Struct):
    """Rows of each kind, and the origins that they name by number."""

    by_kind: dict[type, list[Row]] = field(default_factory=dict)
    origins: list[Origin] = field(default_factory=list)
    findings: list[tuple[Finding, int, int]] = field(default_factory=list)
    count: int = 0

    def add_findings(self, batch: Origin, findings: Sequence[Finding]) -> None:
        """Take a batch's findings."""
        for number, finding in enumerate(findings):
            self.findings.append((finding, len(self.origins), number))
            self.origins.append(finding_origin(batch, finding.task, finding.container))
        self.count += len(findings)

    def add_events(self, batch: Origin, told: Sequence[Event], memory: Memory) -> None:
        """Take a batch's events, in their order."""
        agent = memory.of(batch.agent)
        numbers: dict[int, int] = {}
        by_kind = self.by_kind
        for number, event in enumerate(told):
            kind = type(event)
            actor = _actor(event, kind, agent)
            mnt_ns = getattr(event, "mnt_ns", 0) or actor.mnt_ns
            if kind is ContainerSeen:
                numbers.pop(mnt_ns, None)
                if not agent.contain(event):  # type: ignore[arg-type]  # its kind says so
                    continue
            origin = numbers.get(mnt_ns)
            if origin is None:
                origin = numbers[mnt_ns] = len(self.origins)
                self.origins.append(origin_of(batch, agent.containers.get(mnt_ns)))
            rows = by_kind.get(kind)
            if rows is None:
                rows = by_kind[kind] = []
            rows.append((event, origin, actor, number))
        self.count += len(told)


def _actor(event: Event, kind: type, agent: AgentMemory) -> Known:
    if kind is ProcessExecuted:
        return agent.execute(event)  # type: ignore[arg-type]  # its kind says so
    if kind is ProcessStarted:
        return agent.start(event)  # type: ignore[arg-type]
    name = ACTOR.get(kind)
    process: ProcessId | None = getattr(event, name) if name else None
    if process is None:
        return NOBODY
    known = agent.find(process)
    if kind is ProcessExited:
        agent.processes.pop(process, None)
    return known


def count_of(rows: Iterable[list[Row]]) -> int:
    """How many rows there are."""
    return sum(map(len, rows))
