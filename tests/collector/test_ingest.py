"""What is let in: whatever bytes come, a batch that its agent signed or a WireError; and what is read of it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from outrider_collector.acceptor import Acceptor, Checked
from outrider_collector.ingest import MIN_INTERVAL_S, heard, read_said
from outrider_collector.integrity import ID_PREFIX
from outrider_collector.keyring import Key, NotAtHand
from outrider_collector.limits import Limited, Limiter
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


class Ring:
    """A key ring that knows these agents."""

    def __init__(self, *agents: Agent) -> None:
        self._keys = {agent.agent: Key(agent.public_key, agent.status) for agent in agents}

    def recall(self, agent: str) -> Key:
        if agent not in self._keys:
            raise NotAtHand(agent)
        return self._keys[agent]


def make_acceptor(*agents: Agent, bytes_per_s: int = 0, burst_bytes: int = 0, **limits: int) -> Acceptor:
    """One that has nothing in its memory but these agents."""
    limiter = Limiter(bytes_per_s, burst_bytes, clock=lambda: 0.0)
    return Acceptor(Ring(*agents), limiter, clock_ns=lambda: 5, **limits)


def judge(data: bytes, *agents: Agent, **limits: int) -> Checked:
    """Check with nothing known but these agents."""
    return make_acceptor(*agents, **limits).check(data)


def test_a_batch_moves_its_agent_on(speaker: Any, finding: Callable[..., Finding], event: Event) -> None:
    """After it the agent was heard, its chain is one further, and its losses are added up."""
    one = speaker(interval_s=7.0)
    agent = one.agent()
    first = judge(one.say(finding("a"), events=[event]).data, agent).batch
    second = judge(one.say(final=True).data, agent).batch
    assert read_said(agent, first)[0].id == "a"
    after = heard(heard(agent, first, 5), second, 9)
    assert (after.next_sequence, after.seen_at_ns, after.interval_s, after.said_goodbye) == (2, 9, 7.0, True)
    assert after.facts.lost == {"pipe": 2}
    assert after.last_digest == one.previous


def test_what_is_known_already_is_said_to_be(speaker: Any, finding: Callable[..., Finding]) -> None:
    """The same again is a duplicate, another under its number a fork, a fuller copy is new."""
    one = speaker()
    acceptor = make_acceptor(one.agent())
    sealed = one.say(finding("a"))
    assert acceptor.check(sealed.data[: sealed.signed_end]).verdict == "new"
    assert acceptor.check(sealed.data).verdict == "new"
    assert acceptor.check(sealed.data).verdict == "duplicate"
    assert acceptor.check(speaker(key=one.key).say().data).verdict == "fork"


def test_a_lost_batch_is_new_again(speaker: Any) -> None:
    """Where the disk refused it, neither it nor what was taken for its copy counts as kept."""
    one = speaker()
    acceptor, said = make_acceptor(one.agent()), one.say().data
    first, copy = acceptor.check(said), acceptor.check(said)
    acceptor.forget([first])
    assert not acceptor.stands(copy) and acceptor.check(said).verdict == "new"


def test_each_agent_has_its_share(speaker: Any) -> None:
    """Who has sent more than its bucket holds is told when to come back; the others are not held back by it."""
    one, two = speaker(), speaker()
    acceptor = make_acceptor(one.agent(), two.agent(), bytes_per_s=100, burst_bytes=10)
    acceptor.check(one.say().data)
    with pytest.raises(Limited) as limited:
        acceptor.check(one.say().data)
    assert 1.0 <= limited.value.retry_after_s <= 60.0
    acceptor.check(two.say().data)


def test_a_blob_that_is_not_the_signed_one_is_refused(speaker: Any, finding: Callable[..., Finding]) -> None:
    """The signature covers its digest."""
    one = speaker()
    data = bytearray(one.say(finding("a")).data)
    data[-1] ^= 1
    with pytest.raises(WireError, match="bad-digest"):
        judge(bytes(data), one.agent())


def test_a_finding_is_its_signers(speaker: Any, finding: Callable[..., Finding]) -> None:
    """Neither another agent's name, another task, nor the collector's own ids can be taken."""
    one = speaker(task=TaskView(arn="arn:mine"))
    forged = finding(ID_PREFIX + "x", agent="f" * 32, task=TaskView(arn="arn:theirs"))
    (read,) = read_said(one.agent(), judge(one.say(forged).data, one.agent()).batch)
    assert (read.agent, read.task, read.id) == (one.key.agent, one.task, f"agent:{ID_PREFIX}x")


def test_who_is_not_enrolled_is_not_read(speaker: Any) -> None:
    """An unknown agent and a quarantined one are refused before their signature is looked at."""
    one = speaker()
    with pytest.raises(NotAtHand):
        judge(one.say().data)
    with pytest.raises(WireError, match="quarantined"):
        judge(one.say().data, replace(one.agent(), status="quarantined"))


def test_records_of_the_wrong_type_are_not_read() -> None:
    """A signed batch whose records are no findings says nothing."""
    with pytest.raises(WireError, match="bad-record"):
        read_said(AGENT, judge(GOOD, AGENT).batch)


def test_the_size_limit_is_the_operators(speaker: Any) -> None:
    """A batch over the collector's own limit is refused."""
    one = speaker()
    with pytest.raises(WireError, match="too-large"):
        judge(one.say().data, one.agent(), max_bytes=100)


def test_a_hasty_promise_is_not_held_against_the_agent(speaker: Any) -> None:
    """An interval under a second counts as one second."""
    one = speaker(interval_s=0.001)
    assert heard(one.agent(), judge(one.say().data, one.agent()).batch, 5).interval_s == MIN_INTERVAL_S


@given(st.binary(max_size=500), st.integers(0, len(GOOD)), st.integers(0, 200))
def test_any_bytes_are_accepted_or_refused(garbage: bytes, at: int, gone: int) -> None:
    """Garbage, and a good batch with garbage in it, raise WireError and only that."""
    for data in (garbage, GOOD[:at] + garbage + GOOD[at + gone :]):
        try:
            assert judge(data, AGENT).data == data and data == GOOD
        except WireError:
            pass  # refused
