"""Rows: events with what is known of their process and their origin, sorted by kind, ready to become columns.

This is the one loop of the lake that runs for each event in Python; all behind it works on whole columns.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct, field

from outrider_collector.lake.memory import NOBODY, Known, Memory
from outrider_collector.lake.origins import Origin, finding_origin, origin_of
from outrider_wire import events
from outrider_wire.events import ContainerSeen, Event, ProcessExecuted, ProcessExited, ProcessStarted
from outrider_wire.findings import Finding

Row = tuple[Any, int, Known, int]
"""The event, the number of its origin in `Rows.origins`, its process, and its number in the batch."""

ACTOR: Final[dict[type, str]] = {
    events.ProcessExited: "process",
    events.ProcessReleased: "process",
    events.FileChanged: "actor",
    events.FileHashed: "process",
    events.LibraryLoaded: "process",
    events.ConnectionOpened: "owner",
    events.NameQueried: "owner",
    events.ServerNamed: "owner",
    events.StdioTied: "process",
    events.SyscallMade: "process",
}
"""The attribute that names an event's process."""

ELSEWHERE: Final = frozenset((events.ProcessExited, events.SightLost))
"""Kinds that do not say whose container they are of: their process does, where it is known."""


class Rows(Struct):
    """Rows of each kind, and the origins that they name by number; `first_origin` is added to it in the columns."""

    by_kind: dict[type, list[Row]] = field(default_factory=dict)
    origins: list[Origin] = field(default_factory=list)
    findings: list[tuple[Finding, int, int]] = field(default_factory=list)
    count: int = 0
    first_origin: int = 0

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
        by_kind, origins = self.by_kind, self.origins
        for number, event in enumerate(told):
            kind = type(event)
            if kind is ProcessStarted:
                actor = agent.start(event)  # type: ignore[arg-type]  # its kind says so, here and below
            elif kind is ProcessExecuted:
                actor = agent.execute(event)  # type: ignore[arg-type]
            else:
                process = getattr(event, ACTOR[kind]) if kind in ACTOR else None
                actor = NOBODY if process is None else agent.find(process)
                if kind is ProcessExited:
                    agent.processes.pop(event.process, None)  # type: ignore[union-attr]
            mnt_ns = actor.mnt_ns if kind in ELSEWHERE else event.mnt_ns or actor.mnt_ns  # type: ignore[union-attr]
            if kind is ContainerSeen:
                numbers.pop(mnt_ns, None)
                if not agent.contain(event):  # type: ignore[arg-type]
                    continue
            origin = numbers.get(mnt_ns)
            if origin is None:
                origin = numbers[mnt_ns] = len(origins)
                origins.append(origin_of(batch, agent.containers.get(mnt_ns)))
            row = (event, origin, actor, number)
            try:
                by_kind[kind].append(row)
            except KeyError:
                by_kind[kind] = [row]
        self.count += len(told)
