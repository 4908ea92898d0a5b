"""Ingest as a pure function: whatever bytes come, an accepted batch or a WireError."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from outrider_collector.ingest import MIN_INTERVAL_S, Accepted, judge_batch
from outrider_collector.integrity import ID_PREFIX
from outrider_collector.store.agents import Agent
from outrider_wire.batch import FIRST_PREVIOUS, BatchFacts, seal_batch
from outrider_wire.errors import WireError
from outrider_wire.events import Event
from outrider_wire.findings import Finding, TaskView
from outrider_wire.signing import SigningKey

KEY = SigningKey.from_seed(bytes(32))

AGENT = Agent(
    agent=KEY.agent, public_key=KEY.public, resume_public_key=KEY.public, status="live", task=None, made_at_ns=1,
    enrolled_at_ns=1, seen_at_ns=1,
)  # fmt: skip

GOOD = seal_batch(
    KEY, BatchFacts(interval_s=1.0), sequence=0, previous=FIRST_PREVIOUS, sealed_at_ns=1, findings=[b"\x80"] * 3
).data


def judge(data: bytes, *agents: Agent, now_ns: int = 5, **limits: int) -> Accepted:
    """Judge with nothing known but these agents."""
    known = {agent.agent: agent for agent in agents}
    return judge_batch(data, known.get, lambda agent: lambda number: None, now_ns, **limits)


def test_a_batch_moves_its_agent_on(
    speaker: Any, finding: Callable[..., Finding], event: Event
) -> None:
    """After it the agent was heard, its chain is one further, and its losses are added up."""
    one = speaker(interval_s=7.0)
    first = judge(one.say(finding("a"), events=[event]).data, one.agent())
    second = judge(one.say(final=True).data, first.agent, now_ns=9)
    assert (first.findings[0].id, first.events) == ("a", [event])
    after = second.agent
    assert (after.next_sequence, after.seen_at_ns, after.interval_s, after.said_goodbye) == (2, 9, 7.0, True)
    assert after.facts.lost == {"pipe": 2}
    assert after.last_digest == one.previous


def test_a_finding_is_its_signers(speaker: Any, finding: Callable[..., Finding]) -> None:
    """Neither another agent's name, another task, nor the collector's own ids can be taken."""
    one = speaker(task=TaskView(arn="arn:mine"))
    forged = finding(ID_PREFIX + "x", agent="f" * 32, task=TaskView(arn="arn:theirs"))
    (read,) = judge(one.say(forged).data, one.agent()).findings
    assert (read.agent, read.task, read.id) == (one.key.agent, one.task, f"agent:{ID_PREFIX}x")


def test_who_is_not_enrolled_is_not_read(speaker: Any) -> None:
    """An unknown agent and a quarantined one are refused before their signature is looked at."""
    one = speaker()
    with pytest.raises(WireError, match="unknown-agent"):
        judge(one.say().data)
    with pytest.raises(WireError, match="quarantined"):
        judge(one.say().data, replace(one.agent(), status="quarantined"))


def test_records_of_the_wrong_type_are_refused() -> None:
    """A signed batch whose records are no findings is refused whole."""
    with pytest.raises(WireError, match="bad-record"):
        judge(GOOD, AGENT)


def test_the_size_limit_is_the_operators(speaker: Any) -> None:
    """A batch over the collector's own limit is refused."""
    one = speaker()
    with pytest.raises(WireError, match="too-large"):
        judge(one.say().data, one.agent(), max_bytes=100)


def test_a_hasty_promise_is_not_held_against_the_agent(speaker: Any) -> None:
    """An interval under a second counts as one second."""
    one = speaker(interval_s=0.001)
    assert judge(one.say().data, one.agent()).agent.interval_s == MIN_INTERVAL_S


@given(st.binary(max_size=500), st.integers(0, len(GOOD)), st.integers(0, 200))
def test_any_bytes_are_accepted_or_refused(garbage: bytes, at: int, gone: int) -> None:
    """Garbage, and a good batch with garbage in it, raise WireError and only that."""
    for data in (garbage, GOOD[:at] + garbage + GOOD[at + gone :]):
        with pytest.raises(WireError):
            judge(data, AGENT)
