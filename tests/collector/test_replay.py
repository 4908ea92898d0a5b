"""Replays and clocks: who hands in old bytes is told of, who tries again is not; a clock that is wrong is told once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from outrider_collector.chain import RETRIED, judge_link
from outrider_collector.group import batch_row
from outrider_collector.ingest import heard
from outrider_collector.intake import Intake
from outrider_collector.spool import Frame, Place, Spool
from outrider_collector.store.agents import Agent
from outrider_collector.store.batches import BatchRow
from outrider_collector.store.database import open_database
from outrider_collector.store.findings import FindingQuery, query_findings
from outrider_wire.batch import open_envelope, verify_envelope
from outrider_wire.findings import Finding

SECOND = 1_000_000_000
START_NS = 1_800_000_000 * SECOND


class Keeper:
    """A collector's memory of one agent, and its clock."""

    def __init__(self, agent: Agent) -> None:
        self.agent, self.now_ns = agent, START_NS
        self.rows: dict[int, BatchRow] = {}

    def hear(self, data: bytes, *, at_ns: int = 0) -> list[str]:
        """Judge a batch, received now or at another time; the types of findings, with what is `ahead` or `back`."""
        now_ns = at_ns or self.now_ns
        batch = verify_envelope(open_envelope(data), self.agent.public_key)
        link = judge_link(self.agent, batch, self.rows.get, now_ns)
        if link.verdict in ("new", "completes"):
            self.agent = heard(self.agent, batch, now_ns)
            self.rows[batch.header.sequence] = batch_row(batch, Frame(Place(1, 0), Place(1, 1), now_ns, data), "c")
        return [_words(flaw) for flaw in link.flaws]


def _words(flaw: Finding) -> str:
    skew = [f" {name} {flaw.evidence[name]}" for name in ("ahead_s", "back_s") if name in flaw.evidence]
    return flaw.type.rpartition("/")[2] + "".join(skew)


def heard_of(one: Any, count: int, every_s: float) -> tuple[Keeper, list[bytes]]:
    """An agent that said so many batches, each so long after the other."""
    keeper, said = Keeper(one.agent()), []
    for _ in range(count):
        keeper.now_ns += int(every_s * SECOND)
        one.sealed_at_ns = keeper.now_ns
        said.append(one.say().data)
        assert keeper.hear(said[-1]) == []
    return keeper, said


def test_an_old_batch_that_comes_again_is_a_replay(speaker: Any) -> None:
    """Long after its agent went on, whether that lives, said good-bye or was succeeded."""
    keeper, said = heard_of(speaker(), 40, 10.0)
    keeper.now_ns += 3600 * SECOND
    assert keeper.hear(said[3]) == keeper.hear(said[0]) == ["Replay"]


@pytest.mark.parametrize("wait_s", [0.1, 61.0, 86_400.0])
def test_whoever_has_no_receipt_tries_again_however_late(speaker: Any, wait_s: float) -> None:
    """The last batch, and one that was passed over: their agent may not know that they are here."""
    keeper, said = heard_of(speaker(), 40, 10.0)
    keeper.now_ns += int(wait_s * SECOND)
    assert [keeper.hear(data) for data in said[-RETRIED:]] == [[]] * RETRIED


def test_a_request_that_was_slow_is_a_retry(speaker: Any) -> None:
    """Its agent has gone on meanwhile, but not for long."""
    keeper, said = heard_of(speaker(), 40, 10.0)
    assert keeper.hear(said[-1 - RETRIED - 5]) == []


def test_what_another_collector_had_on_its_disk_is_a_retry(speaker: Any) -> None:
    """It died before it answered, and brings its copy in long after: when it came is what counts."""
    keeper, said = heard_of(speaker(), 100, 10.0)
    first_at_ns = START_NS + 10 * SECOND
    assert keeper.hear(said[0], at_ns=first_at_ns - SECOND) == keeper.hear(said[0], at_ns=first_at_ns + SECOND) == []
    assert keeper.hear(said[0], at_ns=keeper.now_ns) == ["Replay"]


def test_a_host_that_lost_power_is_no_replay(speaker: Any) -> None:
    """What it had acknowledged last lies in its journal again, and its successor sends it the next day."""
    keeper, said = heard_of(speaker(), 200, 1.0)
    keeper.now_ns += 86_400 * SECOND
    assert [keeper.hear(data) for data in said[-50:]] == [[]] * 50
    assert keeper.hear(said[100]) == ["Replay"]


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        ([119, 0, 119], []),
        ([300] * 50, ["ClockSkew ahead_s 300"]),
        ([121, 119, 121, 100, 121], ["ClockSkew ahead_s 121"]),
        ([300, 0, 300], ["ClockSkew ahead_s 300", "ClockSkew ahead_s 300"]),
        ([130, 250, 270, 3600], ["ClockSkew ahead_s 130", "ClockSkew ahead_s 270", "ClockSkew ahead_s 3600"]),
        ([-86_400] * 3, []),
    ],
)
def test_a_clock_that_is_ahead_is_told_until_it_changes(speaker: Any, ahead: list[int], told: list[str]) -> None:
    """Once, not with each batch; anew when it was right meanwhile, or is another."""
    one = speaker()
    keeper, found = Keeper(one.agent()), []
    for seconds in ahead:
        keeper.now_ns += 600 * SECOND
        one.sealed_at_ns = keeper.now_ns + seconds * SECOND
        found += [each for each in keeper.hear(one.say().data) if "ahead" in each]
    assert found == told


@pytest.mark.parametrize(
    ("back_s", "told"), [(59, []), (61, ["ClockSkew back_s 61"]), (86_400, ["ClockSkew back_s 86400"])]
)
def test_a_clock_that_steps_back_is_told_once(speaker: Any, back_s: int, told: list[str]) -> None:
    """From then on it goes on from where it is."""
    one = speaker()
    keeper, _ = heard_of(one, 3, 1.0)
    one.sealed_at_ns -= back_s * SECOND
    assert keeper.hear(one.say().data) == told
    one.sealed_at_ns += SECOND
    assert keeper.hear(one.say().data) == []


def test_batches_that_come_late_or_after_a_gap_are_no_step_back(speaker: Any) -> None:
    """Another collector brings them, or nobody does: they are not compared with what they do not follow."""
    one = speaker()
    keeper, _ = heard_of(one, 3, 1.0)
    one.sealed_at_ns += 1000 * SECOND
    late = one.say().data
    one.sealed_at_ns += 1000 * SECOND
    keeper.now_ns += 3000 * SECOND
    assert keeper.hear(one.say().data) == []
    assert keeper.hear(late) == []


class Site:
    """Two collectors of one store, and their clock."""

    def __init__(self, data: Path, engine: Engine) -> None:
        self.now_ns, self.engine = START_NS, engine
        self.collectors = [
            Intake(engine, Spool(data / name), collector=name, clock_ns=lambda: self.now_ns) for name in "ab"
        ]
        for each in self.collectors:
            each.start()

    def told(self) -> list[str]:
        """What was found."""
        for each in self.collectors:
            assert each.indexer.wait()
        with self.engine.connect() as connection:
            page = query_findings(connection, FindingQuery(after=0, limit=1000))
        return [msgspec.json.decode(raw)["type"].rpartition("/")[2] for raw in page.findings]


def test_a_replay_is_told_once_whichever_collector_it_comes_to(
    tmp_path: Path, store_url: str, speaker: Any, finding: Callable[..., Finding]
) -> None:
    """Also where one remembers it and asks the store no more; retries raise nothing, and nothing is doubled."""
    site = Site(tmp_path, open_database(store_url))
    first, second = site.collectors
    one = speaker(interval_s=3600.0)
    first.enrol(one.request()).result(5)
    said = [one.say(finding(str(number))).data for number in range(12)]
    for data in said:
        site.now_ns += 20 * SECOND
        first.submit(data).result(5)
        assert first.indexer.wait()
        for intake in (first, second, first):
            intake.submit(data).result(5)
    site.now_ns += 61 * SECOND
    first.submit(said[-1]).result(5)
    assert set(site.told()) == {"X"}
    for _ in range(3):
        site.now_ns += 61 * SECOND
        assert first.submit(said[2]).result(5).duplicate
        second.submit(said[2]).result(5)
    assert sorted(site.told()) == ["Replay", *["X"] * len(said)]
    for each in site.collectors:
        each.close()
