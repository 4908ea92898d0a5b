"""A group: batches of the spool that are judged one by one and indexed in one transaction.

Its agents are locked first, in the order of their names: several collectors may index the same agent's batches.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Struct
from sqlalchemy import Connection

from outrider_collector.chain import judge_link
from outrider_collector.ingest import heard, read_said
from outrider_collector.integrity import unreadable_finding
from outrider_collector.spool import Frame
from outrider_collector.store.agents import Agent, lock_agents, save_agents
from outrider_collector.store.batches import BatchRow, load_batch, save_batches
from outrider_collector.store.findings import Told, save_told
from outrider_collector.store.gaps import Gap, save_gaps
from outrider_wire.batch import Batch
from outrider_wire.errors import WireError
from outrider_wire.findings import Finding

log = logging.getLogger("outrider.collector")


class Spooled(Struct, frozen=True):
    """A batch whose signature holds, and its place on the disk."""

    batch: Batch
    frame: Frame


@dataclass
class Group:
    """Batches judged together, inside the transaction of `connection`."""

    connection: Connection
    collector: str
    found: list[tuple[int, list[Finding]]] = field(default_factory=list)
    _agents: dict[str, Agent] = field(default_factory=dict)
    _rows: dict[tuple[str, int], BatchRow] = field(default_factory=dict)
    _gaps: list[Gap] = field(default_factory=list)

    def index(self, spooled: list[Spooled]) -> None:
        """Judge and write them all. Raises SQLAlchemyError."""
        self._agents = lock_agents(self.connection, sorted({each.batch.header.agent for each in spooled}))
        for each in spooled:
            self._judge(each.batch, each.frame)
        save_agents(self.connection, list(self._agents.values()))
        save_batches(self.connection, list(self._rows.values()))
        save_gaps(self.connection, self._gaps)
        told = [Told(at_ns, finding) for at_ns, findings in self.found for finding in findings]
        save_told(self.connection, told, collector=self.collector)

    def _judge(self, batch: Batch, frame: Frame) -> None:
        header, now_ns = batch.header, frame.received_at_ns
        agent = self._agents.get(header.agent)
        if agent is None:
            log.warning("a spooled batch at %s is of an agent that is no longer known", frame.place)
            return
        link = judge_link(agent, batch, self._look(header.agent), now_ns)
        self.found.append((now_ns, link.flaws))
        if link.verdict in ("duplicate", "fork"):
            return
        if link.gap is not None:
            self._gaps.append(Gap(header.agent, *link.gap, noticed_at_ns=now_ns))
        self._agents[header.agent] = heard(agent, batch, now_ns)
        self._rows[header.agent, header.sequence] = batch_row(batch, frame, self.collector)
        try:
            self.found.append((now_ns, read_said(agent, batch)))
        except WireError as error:
            self.found.append((now_ns, [unreadable_finding(agent, batch, str(error), now_ns)]))

    def _look(self, agent: str) -> Callable[[int], BatchRow | None]:
        return lambda number: self._rows.get((agent, number)) or load_batch(self.connection, agent, number)


def batch_row(batch: Batch, frame: Frame, collector: str) -> BatchRow:
    """What the store keeps of a batch."""
    return BatchRow(
        agent=batch.header.agent,
        sequence=batch.header.sequence,
        digest=batch.digest,
        previous=batch.header.previous,
        sealed_at_ns=batch.header.sealed_at_ns,
        received_at_ns=frame.received_at_ns,
        findings=batch.header.findings.count,
        events=batch.header.events.count,
        shed_findings=batch.shed_findings,
        shed_events=batch.shed_events,
        collector=collector,
        spool_file=frame.place.file,
        spool_offset=frame.place.offset,
    )
