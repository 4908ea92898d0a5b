"""The chain: gaps and breaks are taken and told, forks refused and told, repeats known."""

from collections.abc import Callable
from typing import Any

from outrider_collector.chain import judge_link
from outrider_collector.group import batch_row
from outrider_collector.ingest import heard
from outrider_collector.spool import Frame, Place
from outrider_collector.store.agents import Agent
from outrider_collector.store.batches import BatchRow
from outrider_wire.batch import SealedBatch, open_envelope, verify_envelope
from outrider_wire.events import Event
from outrider_wire.findings import Finding


class Keeper:
    """A collector's memory of one agent."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.rows: dict[int, BatchRow] = {}

    def hear(self, data: bytes) -> tuple[str, list[str]]:
        """Judge a batch and keep it if it is taken: the verdict and the types of findings."""
        batch = verify_envelope(open_envelope(data), self.agent.public_key)
        link = judge_link(self.agent, batch, self.rows.get, 5)
        if link.verdict in ("new", "completes"):
            self.agent = heard(self.agent, batch, 5)
            self.rows[batch.header.sequence] = batch_row(batch, Frame(Place(1, 0), Place(1, 1), 5, data), "c")
        told = [flaw.type.split("/")[1] for flaw in link.flaws]
        return link.verdict, told + ([f"gap {link.gap[0]}-{link.gap[1]}"] if link.gap else [])


def test_a_whole_chain_raises_nothing(speaker: Any) -> None:
    """Batch after batch, all is well; each sent again is known."""
    one = speaker()
    keeper, said = Keeper(one.agent()), [one.say() for _ in range(4)]
    assert [keeper.hear(each.data) for each in said] == [("new", [])] * 4
    assert [keeper.hear(each.data) for each in said] == [("duplicate", [])] * 4


def test_a_gap_is_taken_told_and_may_be_filled(speaker: Any) -> None:
    """What comes after the gap counts; the missing one is still taken when it comes."""
    one = speaker()
    keeper, said = Keeper(one.agent()), [one.say() for _ in range(4)]
    assert keeper.hear(said[0].data) == ("new", [])
    assert keeper.hear(said[3].data) == ("new", ["gap 1-2"])
    assert keeper.hear(said[2].data) == ("new", [])
    assert keeper.hear(said[1].data) == ("new", [])


def test_a_fork_is_refused_and_told(speaker: Any, finding: Callable[..., Finding]) -> None:
    """Two different batches of one number by one key: the second is not taken."""
    one = speaker()
    keeper = Keeper(one.agent())
    keeper.hear(one.say().data)
    twin = replace_state(speaker, one)
    assert keeper.hear(twin.say(finding("other")).data) == ("fork", ["Fork"])


def replace_state(speaker: Any, one: Any) -> Any:
    """Somebody else with the agent's key, from the start."""
    return speaker(key=one.key, resume=one.resume)


def test_a_broken_chain_is_taken_and_told(speaker: Any) -> None:
    """A batch that names another predecessor counts, and is a finding."""
    one = speaker()
    keeper = Keeper(one.agent())
    keeper.hear(one.say().data)
    one.previous = b"\x01" * 32
    assert keeper.hear(one.say().data) == ("new", ["BrokenChain"])


def test_a_forged_first_batch_is_told(speaker: Any) -> None:
    """Batch 0 must follow from nothing."""
    one = speaker(previous=b"\x01" * 32)
    assert Keeper(one.agent()).hear(one.say().data) == ("new", ["BrokenChain"])


def test_a_late_batch_must_fit_both_its_neighbours(speaker: Any, finding: Callable[..., Finding]) -> None:
    """One that fills a gap with something else than was there is a finding."""
    one = speaker()
    keeper, said = Keeper(one.agent()), [one.say() for _ in range(3)]
    keeper.hear(said[0].data)
    keeper.hear(said[2].data)
    forger = speaker(key=one.key, resume=one.resume, sequence=1, previous=said[0].digest)
    assert keeper.hear(forger.say(finding("x")).data) == ("new", ["BrokenChain"])


def test_a_fuller_copy_completes_a_shed_one(speaker: Any, finding: Callable[..., Finding], event: Event) -> None:
    """Who strips a batch and sends it first does not keep the findings from being read."""
    one = speaker()
    keeper = Keeper(one.agent())
    sealed: SealedBatch = one.say(finding("a"), events=[event])
    assert keeper.hear(sealed.data[: sealed.signed_end]) == ("new", [])
    assert keeper.hear(sealed.data) == ("completes", [])
    assert keeper.hear(sealed.data[: sealed.findings_end]) == ("duplicate", [])


def test_the_same_flaw_has_the_same_id(speaker: Any) -> None:
    """Judging twice tells once."""
    one = speaker(previous=b"\x01" * 32)
    batch = verify_envelope(open_envelope(one.say().data), one.key.public)
    first, second = (judge_link(one.agent(), batch, lambda number: None, now_ns) for now_ns in (1, 2))
    assert first.flaws[0].id == second.flaws[0].id
    other = verify_envelope(open_envelope(speaker(key=one.key, previous=b"\x02" * 32).say().data), one.key.public)
    assert judge_link(one.agent(), other, lambda number: None, 1).flaws[0].id != first.flaws[0].id
