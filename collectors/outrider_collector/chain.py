"""The chain: whether a batch follows from what its agent said before.

Evidence is never refused for a hole before it: a batch beyond the next number is taken and the gap is told. What
is refused is a second, different batch under a number that is taken: one of the two is a lie.
"""

from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct

from outrider_collector.clocks import judge_clock
from outrider_collector.integrity import integrity_finding
from outrider_collector.store.agents import Agent
from outrider_collector.store.batches import BatchRow
from outrider_wire.batch import Batch
from outrider_wire.findings import Finding

RETRIED: Final = 2
"""An agent sends so many batches again at most: it goes on when it has the receipt, and skips one that is stuck."""
RETRY_S: Final = 60.0
"""Longest that a request is under way, and that a sender which lost power may have forgotten what was acknowledged."""

Look = Callable[[int], BatchRow | None]
"""The accepted batch of this agent under a number."""


class Link(Struct, frozen=True):
    """How a batch fits. `completes`: a fuller copy of one that had been shed. `flaws` are findings to tell.

    `gap` is the first and the last number that are missing before it: they may yet come, through another collector.
    """

    verdict: Literal["new", "completes", "duplicate", "fork"]
    flaws: list[Finding] = []
    gap: tuple[int, int] | None = None


def judge_link(agent: Agent, batch: Batch, look: Look, now_ns: int) -> Link:
    """Place a batch in its agent's chain."""
    number = batch.header.sequence
    if number == agent.next_sequence:
        return Link("new", _broken(agent, batch, agent.last_digest, now_ns) + judge_clock(agent, batch, now_ns))
    if number > agent.next_sequence:
        return Link("new", judge_clock(agent, batch, now_ns), gap=(agent.next_sequence, number - 1))
    there = look(number)
    if there is None and number < agent.forgotten_before:
        return Link("duplicate")  # it is too old to be remembered: what it was, cannot be told
    if there is None:
        return Link("new", _judge_late(agent, batch, look, now_ns))
    if there.digest != batch.digest:
        return Link("fork", [fork_finding(agent, batch, there, now_ns)])
    fuller = batch.shed_findings < there.shed_findings or batch.shed_events < there.shed_events
    if fuller:
        return Link("completes")
    return Link("duplicate", judge_copy(agent, batch, there, look, now_ns))


def judge_copy(agent: Agent, batch: Batch, there: BatchRow, look: Look, now_ns: int) -> list[Finding]:
    """Whether a copy of an accepted batch, received at `now_ns`, is a retry, which is no finding, or a replay.

    When it came counts, not when it is read from a spool: another collector's may be read late.
    """
    number, retry_ns = batch.header.sequence, int(RETRY_S * 1e9)
    beyond, last = look(number + RETRIED), look(agent.next_sequence - 1)
    if beyond is None or now_ns - beyond.received_at_ns <= retry_ns:
        return []  # its agent may not have the receipt
    if last is None or last.received_at_ns - there.received_at_ns <= retry_ns:
        return []  # its agent may have lost power, and what it noted last
    return [_replay(agent, batch, there, now_ns)]


def _replay(agent: Agent, batch: Batch, there: BatchRow, now_ns: int) -> Finding:
    number, after_s = batch.header.sequence, (now_ns - there.received_at_ns) // 1_000_000_000
    return integrity_finding(
        "Replay",
        agent,
        at_ns=now_ns,
        cause=f"{number} {batch.digest.hex()}",
        description=f"batch {number} came again {after_s} s after it was accepted, when its agent had long gone on",
        evidence={"sequence": number, "digest": batch.digest.hex(), "after_s": after_s, "next": agent.next_sequence},
    )


def _judge_late(agent: Agent, batch: Batch, look: Look, now_ns: int) -> list[Finding]:
    """A batch that fills a gap must fit what lies on both sides of it."""
    before, after = look(batch.header.sequence - 1), look(batch.header.sequence + 1)
    flaws = _broken(agent, batch, before.digest, now_ns) if before else []
    if after and after.previous != batch.digest:
        flaws = flaws or [_broken_chain(agent, batch, now_ns)]
    return flaws


def _broken(agent: Agent, batch: Batch, expected: bytes, now_ns: int) -> list[Finding]:
    return [] if batch.header.previous == expected else [_broken_chain(agent, batch, now_ns)]


def _broken_chain(agent: Agent, batch: Batch, now_ns: int) -> Finding:
    number = batch.header.sequence
    return integrity_finding(
        "BrokenChain",
        agent,
        at_ns=now_ns,
        cause=f"{number} {batch.digest.hex()}",
        description=f"batch {number} names a predecessor that is not the one that was received",
        evidence={"sequence": number, "previous": batch.header.previous.hex(), "digest": batch.digest.hex()},
    )


def gap_finding(agent: Agent, first: int, last: int, now_ns: int) -> Finding:
    """Tell of batches that did not come."""
    return integrity_finding(
        "Gap",
        agent,
        at_ns=now_ns,
        cause=f"{first}-{last}",
        description=f"batches {first} to {last} did not arrive before batch {last + 1}",
        evidence={"first_missing": first, "last_missing": last},
    )


def fork_finding(agent: Agent, batch: Batch, there: BatchRow | None, now_ns: int) -> Finding:
    """Tell of a second, different batch under a number; `there` is the first, where it is indexed already."""
    number = batch.header.sequence
    return integrity_finding(
        "Fork",
        agent,
        at_ns=now_ns,
        cause=f"{number} {batch.digest.hex()}",
        description=f"batch {number} came twice with different contents; the second was refused",
        evidence={
            "sequence": number,
            "accepted": there.digest.hex() if there else "",
            "refused": batch.digest.hex(),
        },
    )
