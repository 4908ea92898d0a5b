"""Clocks: an agent's record is told by its own clock, so one that is ahead of ours, or steps back, is told of.

A clock that is behind cannot be told from a batch that waited for a collector, and is not. Neither is one that a late
batch shows: its agent's latest ones say it, too.
"""

from typing import Final

from outrider_collector.integrity import integrity_finding
from outrider_collector.store.agents import Agent
from outrider_wire.batch import Batch
from outrider_wire.findings import Finding

AHEAD_S: Final = 120.0
"""So far in the future of the collector that takes it a batch may be sealed."""
BACK_S: Final = 60.0
"""So long before the agent's own previous batch it may be sealed: a clock that is set right is no finding."""


def ahead_told_s(agent: Agent, batch: Batch, now_ns: int) -> int:
    """How far ahead the agent's clock counts as told of after this batch; 0 once it is right again.

    It is told anew when it has doubled or halved since.
    """
    ahead_s, told_s = _ahead_s(batch, now_ns), agent.facts.ahead_s
    if ahead_s > AHEAD_S:
        return told_s if told_s and told_s / 2 <= ahead_s <= told_s * 2 else int(ahead_s)
    return told_s if ahead_s > AHEAD_S / 2 else 0


def judge_clock(agent: Agent, batch: Batch, now_ns: int) -> list[Finding]:
    """What an agent's newest batch shows of its clock."""
    told_s, back_s = ahead_told_s(agent, batch, now_ns), _back_s(agent, batch)
    found = []
    if told_s and told_s != agent.facts.ahead_s:
        found.append(_skew(agent, batch, now_ns, f"{told_s} s in the collector's future", ahead_s=told_s))
    if back_s > BACK_S:
        found.append(_skew(agent, batch, now_ns, f"{back_s:.0f} s before the one before it", back_s=int(back_s)))
    return found


def _ahead_s(batch: Batch, now_ns: int) -> float:
    return (batch.header.sealed_at_ns - now_ns) / 1e9


def _back_s(agent: Agent, batch: Batch) -> float:
    """How long before its predecessor it was sealed; 0 where that is not the last that was heard."""
    follows = batch.header.sequence > 0 and batch.header.previous == agent.last_digest
    return (agent.facts.sealed_at_ns - batch.header.sealed_at_ns) / 1e9 if follows else 0.0


def _skew(agent: Agent, batch: Batch, now_ns: int, what: str, **evidence: int) -> Finding:
    number = batch.header.sequence
    direction = next(iter(evidence))
    return integrity_finding(
        "ClockSkew",
        agent,
        at_ns=now_ns,
        cause=f"{direction} {number} {batch.digest.hex()}",
        description=f"batch {number} was sealed {what}",
        evidence={"sequence": number, "sealed_at_ns": batch.header.sealed_at_ns, "received_at_ns": now_ns, **evidence},
    )
