"""Ingest: from bytes and what is known of their sender to an accepted batch, or a refusal. No I/O of its own."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from outrider_collector.chain import Link, Look, judge_link
from outrider_collector.integrity import ID_PREFIX
from outrider_collector.store.agents import Agent, AgentFacts
from outrider_wire.batch import MAX_BATCH_BYTES, Batch, open_envelope, read_events, read_findings, verify_envelope
from outrider_wire.errors import WireError
from outrider_wire.events import Event
from outrider_wire.findings import Finding

MAX_SENSES = 256
"""Most kinds of loss summed for one agent."""

MIN_INTERVAL_S = 1.0
"""An agent that promises batches more often is held to this."""


class Accepted(Struct, frozen=True):
    """A batch that was believed. `agent` is its sender as it is now; `findings` include those about the chain."""

    agent: Agent
    batch: Batch
    link: Link
    findings: list[Finding]
    events: list[Event]


def judge_batch(
    data: bytes,
    find_agent: Callable[[str], Agent | None],
    look: Callable[[Agent], Look],
    now_ns: int,
    *,
    max_bytes: int = MAX_BATCH_BYTES,
) -> Accepted:
    """Check a batch in the order that `outrider_wire.batch` gives, and read it.

    A fork is handed back, not raised, for its finding: its `link.verdict` says that it is to be refused.

    Raises:
        WireError: any of that module's codes, or `unknown-agent` or `quarantined`.
    """
    envelope = open_envelope(data, max_bytes=max_bytes)
    agent = find_agent(envelope.agent)
    if agent is None:
        raise WireError("unknown-agent", "this agent is not enrolled here")
    if agent.status == "quarantined":
        raise WireError("quarantined", "this agent's enrolment was refused")
    batch = verify_envelope(envelope, agent.public_key)
    link = judge_link(agent, batch, look(agent), now_ns)
    if link.verdict in ("duplicate", "fork"):
        return Accepted(agent, batch, link, link.flaws, [])
    findings = [_signed_by(agent, finding) for finding in read_findings(batch)]
    return Accepted(_heard(agent, batch, now_ns), batch, link, [*link.flaws, *findings], read_events(batch))


def _signed_by(agent: Agent, finding: Finding) -> Finding:
    """The finding under the name of who signed it, whatever it says of itself."""
    own_id = f"agent:{finding.id}" if finding.id.startswith(ID_PREFIX) else finding.id
    return replace(finding, id=own_id, agent=agent.agent, task=agent.task or finding.task)


def _heard(agent: Agent, batch: Batch, now_ns: int) -> Agent:
    """The agent after this batch."""
    header = batch.header
    newest = header.sequence >= agent.next_sequence
    facts = AgentFacts(
        capabilities=header.capabilities,
        software=header.software,
        unguarded_for_ms=header.unguarded_for_ms,
        lost=_add_losses(agent.facts.lost, header.lost),
    )
    return replace(
        agent,
        seen_at_ns=max(now_ns, agent.seen_at_ns),
        interval_s=max(header.interval_s, MIN_INTERVAL_S),
        next_sequence=header.sequence + 1 if newest else agent.next_sequence,
        last_digest=batch.digest if newest else agent.last_digest,
        said_goodbye=header.final if newest else agent.said_goodbye,
        told_silent=agent.status != "live",
        facts=facts if newest else replace(agent.facts, lost=facts.lost),
    )


def _add_losses(so_far: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    total = dict(so_far)
    for sense, number in more.items():
        name = sense[:64] if sense[:64] in total or len(total) < MAX_SENSES else "other"
        total[name] = min(total.get(name, 0) + number, 1 << 53)
    return total
