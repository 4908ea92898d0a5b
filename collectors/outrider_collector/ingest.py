"""Ingest: what a batch says, under the name of who signed it, and what its agent is after it. No I/O of its own."""

from msgspec.structs import replace

from outrider_collector.clocks import ahead_told_s
from outrider_collector.integrity import ID_PREFIX
from outrider_collector.store.agents import Agent, AgentFacts
from outrider_wire.batch import Batch, read_findings
from outrider_wire.findings import Finding

MAX_SENSES = 256
"""Most kinds of loss summed for one agent."""

MIN_INTERVAL_S = 1.0
"""An agent that promises batches more often is held to this."""


def read_said(agent: Agent, batch: Batch) -> list[Finding]:
    """The findings of a batch. Raises WireError where they cannot be read."""
    return [_signed_by(agent, finding) for finding in read_findings(batch)]


def _signed_by(agent: Agent, finding: Finding) -> Finding:
    """The finding under the name of who signed it, whatever it says of itself."""
    own_id = f"agent:{finding.id}" if finding.id.startswith(ID_PREFIX) else finding.id
    return replace(finding, id=own_id, agent=agent.agent, task=agent.task or finding.task)


def heard(agent: Agent, batch: Batch, now_ns: int) -> Agent:
    """The agent after this batch."""
    header = batch.header
    newest = header.sequence >= agent.next_sequence
    facts = AgentFacts(
        capabilities=header.capabilities,
        software=header.software,
        unguarded_for_ms=header.unguarded_for_ms,
        lost=_add_losses(agent.facts.lost, header.lost),
        sealed_at_ns=header.sealed_at_ns,
        ahead_s=ahead_told_s(agent, batch, now_ns),
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
