"""A group: batches that are judged one by one, then kept with one fsync and indexed in one transaction.

Until it is committed, a group is what its agents would be: an overlay over what the store holds. When the spool
refuses it, the overlay is thrown away and nobody was believed.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from msgspec.structs import replace
from sqlalchemy import Connection

from outrider_collector.ingest import Accepted, judge_batch
from outrider_collector.spool import Frame
from outrider_collector.store.agents import Agent, load_agent, save_agents
from outrider_collector.store.batches import BatchRow, load_batch, save_batches, save_spool_position
from outrider_collector.store.findings import save_findings
from outrider_wire.enrolment import Receipt
from outrider_wire.errors import WireError
from outrider_wire.findings import Finding

Answer = Future[Receipt]


@dataclass
class Entry:
    """One accepted batch on its way to the spool and the index."""

    accepted: Accepted
    received_at_ns: int
    data: bytes
    answer: Answer | None


@dataclass
class Group:
    """Batches judged together. `connection` reads what was committed before."""

    connection: Connection
    max_bytes: int
    entries: list[Entry] = field(default_factory=list)
    told: list[Finding] = field(default_factory=list)
    repeated: list[tuple[Answer | None, Receipt]] = field(default_factory=list)
    _agents: dict[str, Agent] = field(default_factory=dict)
    _rows: dict[tuple[str, int], BatchRow] = field(default_factory=dict)

    def judge(self, data: bytes, received_at_ns: int, answer: Answer | None = None) -> None:
        """Take a batch in. Raises WireError when it is refused; a fork's finding is kept to be told."""
        accepted = judge_batch(data, self._find, self._look, received_at_ns, max_bytes=self.max_bytes)
        header = accepted.batch.header
        if accepted.link.verdict == "fork":
            self.told += accepted.findings
            raise WireError("fork", f"batch {header.sequence} is known with other contents")
        if accepted.link.verdict == "duplicate":
            self.repeated.append((answer, Receipt(header.agent, header.sequence, duplicate=True)))
            return
        self.entries.append(Entry(accepted, received_at_ns, data, answer))
        self._agents[header.agent] = accepted.agent
        self._rows[header.agent, header.sequence] = batch_row(accepted, received_at_ns)

    def index(self, connection: Connection, frames: list[Frame]) -> None:
        """Write everything to the store; `frames` are the entries' places in the spool."""
        rows = [
            replace(
                batch_row(entry.accepted, entry.received_at_ns),
                spool_file=frame.place.file,
                spool_offset=frame.place.offset,
            )
            for entry, frame in zip(self.entries, frames, strict=True)
        ]
        save_agents(connection, list(self._agents.values()))
        save_batches(connection, list({(row.agent, row.sequence): row for row in rows}.values()))
        for entry in self.entries:
            save_findings(connection, entry.received_at_ns, entry.accepted.findings)
        if frames:
            save_spool_position(connection, frames[-1].end.file, frames[-1].end.offset)

    def answer(self) -> None:
        """Tell the senders that what they sent is kept."""
        for entry in self.entries:
            header = entry.accepted.batch.header
            settle(entry.answer, Receipt(header.agent, header.sequence))
        for answer, receipt in self.repeated:
            settle(answer, receipt)

    def refuse(self, error: Exception) -> None:
        """Tell the senders that nothing was kept."""
        for answer in [entry.answer for entry in self.entries] + [answer for answer, _ in self.repeated]:
            if answer is not None and answer.set_running_or_notify_cancel():
                answer.set_exception(error)

    def _find(self, agent: str) -> Agent | None:
        return self._agents.get(agent) or load_agent(self.connection, agent)

    def _look(self, agent: Agent) -> Callable[[int], BatchRow | None]:
        return lambda number: self._rows.get((agent.agent, number)) or load_batch(
            self.connection, agent.agent, number
        )


def settle(answer: Answer | None, receipt: Receipt) -> None:
    """Answer a sender who may have gone meanwhile."""
    if answer is not None and answer.set_running_or_notify_cancel():
        answer.set_result(receipt)


def batch_row(accepted: Accepted, received_at_ns: int) -> BatchRow:
    """What the store keeps of a batch."""
    batch = accepted.batch
    return BatchRow(
        agent=batch.header.agent,
        sequence=batch.header.sequence,
        digest=batch.digest,
        previous=batch.header.previous,
        sealed_at_ns=batch.header.sealed_at_ns,
        received_at_ns=received_at_ns,
        findings=batch.header.findings.count,
        events=batch.header.events.count,
        shed_findings=batch.shed_findings,
        shed_events=batch.shed_events,
        spool_file=0,
        spool_offset=0,
    )
