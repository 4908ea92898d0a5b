"""The collector's own findings in the lake: each once, whoever made it and whenever its writer died."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_stories import NOON_NS, Died, DyingLake, Teller, lake_files, read_records, story, task_view
from sqlalchemy import Engine

from outrider_collector.intake import Intake
from outrider_collector.integrity import Kind, integrity_finding
from outrider_collector.lake.child import start_child, stop_child
from outrider_collector.lake.counting import all_count
from outrider_collector.lake.following import Follower
from outrider_collector.lake.layout import read_paths
from outrider_collector.lake.merging import SETTLED_MS, find_merges
from outrider_collector.lake.own import LOOK_EVERY_S, OwnFindings
from outrider_collector.lake.places import LocalLake
from outrider_collector.lake.reading import Reading, span_of_day
from outrider_collector.lake.starting import lake_orders
from outrider_collector.lake.writer import Limits
from outrider_collector.settings import Settings
from outrider_collector.spool import Spool
from outrider_collector.store.agents import Agent
from outrider_collector.store.database import open_database, writing
from outrider_collector.store.findings import save_findings
from outrider_wire.enrolment import make_request
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

WITHIN_S = 60.0
INTERVAL_S = 5.0
"""How often the tellers of these stories promise a batch."""


@pytest.fixture
def engine(store_url: str, tmp_path: Path) -> Iterator[Engine]:
    opened = open_database(store_url or tmp_path / "store.sqlite")
    yield opened
    opened.dispose()


def agent(number: int) -> Agent:
    return Agent(
        agent=f"{number:032x}", public_key=bytes(32), resume_public_key=bytes(32), status="live",
        task=task_view(number), made_at_ns=NOON_NS, enrolled_at_ns=NOON_NS, seen_at_ns=NOON_NS, changed_at_ns=NOON_NS,
    )  # fmt: skip


def made(cause: str, *, number: int = 1, kind: Kind = "Gap") -> Finding:
    return integrity_finding(
        kind, agent(number), at_ns=NOON_NS, cause=cause, description=f"missing {cause}", evidence={"first": 1}
    )


def tell(engine: Engine, *found: Finding, collector: str = "one") -> None:
    with writing(engine) as connection:
        save_findings(connection, NOON_NS + 10**9, list(found), collector=collector)


def own(engine: Engine, lake: LocalLake, collector: str = "one", **more: Any) -> OwnFindings:
    return OwnFindings(lake, engine, collector, **more)


def names(lake: Path) -> Counter[str]:
    """How often each finding's id is in the lake, by every file."""
    read = [pq.ParquetFile(path).read().column("finding_info").combine_chunks() for path in lake_files(lake)]
    return Counter(uid for info in read for uid in info.field("uid").to_pylist())


def test_each_own_finding_is_there_once(
    engine: Engine, tmp_path: Path, validate: Callable[[pa.Table], list[dict[str, Any]]]
) -> None:
    """By the collector that made it, in OCSF's form; what agents told is left to their batches."""
    lake = LocalLake(tmp_path / "lake")
    both = made("told by both")
    theirs = Finding(**{name: getattr(both, name) for name in both.__struct_fields__} | {"id": "theirs"})
    tell(engine, made("a"), both, theirs)
    tell(engine, both, made("b", number=2), collector="two")
    for collector in ("one", "two", "one"):
        own(engine, lake, collector).finish()
    assert names(tmp_path / "lake") == {made("a").id: 1, both.id: 1, made("b", number=2).id: 1}
    records = [r for path in lake_files(tmp_path / "lake") for r in validate(pq.ParquetFile(path).read())]
    (first,) = [each for each in records if each["finding_info"]["uid"] == made("a").id]
    assert first["finding_info"]["types"] == ["Outrider:Integrity/Gap"]
    assert first["metadata"]["uid"] == f"{agent(1).agent}-{made('a').id}-Finding-0"
    assert (first["unmapped"]["agent"], first["cloud"]["region"]) == (agent(1).agent, "eu-west-1")
    assert "sequence" not in first["unmapped"]


def test_it_is_there_soon_though_no_agent_says_anything(engine: Engine, tmp_path: Path) -> None:
    """It needs no batch to be due by time, and what is flushed later takes the place of nothing."""
    now_s = [1000.0]
    one = own(engine, LocalLake(tmp_path / "lake"), limits=Limits(seconds=300.0), clock_s=lambda: now_s[0])
    one.step()
    for cause, wanted in (("a", 1), ("b", 2)):
        tell(engine, made(cause))
        for passed_s in (LOOK_EVERY_S, 299.0 - LOOK_EVERY_S):
            now_s[0] += passed_s
            one.step()
            assert len(names(tmp_path / "lake")) == wanted - 1
        now_s[0] += LOOK_EVERY_S
        one.step()
        assert len(names(tmp_path / "lake")) == wanted
    assert set(names(tmp_path / "lake").values()) == {1}


@pytest.mark.parametrize("step", range(6))
def test_a_death_at_each_step_doubles_and_loses_nothing(engine: Engine, tmp_path: Path, step: int) -> None:
    """Each write of a flush is in turn the last one, done or not done; more was found meanwhile."""
    tell(engine, made("a"), made("b", number=2))
    with pytest.raises(Died):
        own(engine, DyingLake(tmp_path / "lake", step // 2, after=bool(step % 2))).finish()
    tell(engine, made("c"))
    own(engine, LocalLake(tmp_path / "lake")).finish()
    assert names(tmp_path / "lake") == {made("a").id: 1, made("b", number=2).id: 1, made("c").id: 1}


def test_a_lake_that_fails_gets_the_same_flush_again(engine: Engine, tmp_path: Path) -> None:
    """What was found meanwhile is of the next one."""
    tell(engine, made("a"))
    refusing = RefusingLake(tmp_path / "lake")
    one = own(engine, refusing)
    with pytest.raises(OSError, match="no room"):
        one.finish()
    assert one.is_unfinished
    tell(engine, made("b"))
    refusing.refuses = False
    one.finish()
    assert names(tmp_path / "lake") == {made("a").id: 1} and not one.is_unfinished
    one.finish()
    assert names(tmp_path / "lake") == {made("a").id: 1, made("b").id: 1}


class RefusingLake(LocalLake):
    """A lake that takes records, and files only when it is told to."""

    refuses = True

    def put(self, path: str, data: object) -> None:
        if self.refuses and path.endswith(".parquet"):
            raise OSError("no room")
        super().put(path, data)


def test_more_than_a_page_is_taken(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where such a flush is made again."""
    monkeypatch.setattr("outrider_collector.lake.own.PAGE", 3)
    tell(engine, *(made(str(number)) for number in range(10)))
    with pytest.raises(Died):
        own(engine, DyingLake(tmp_path / "lake", 1, after=True)).finish()
    tell(engine, made("later"))
    own(engine, LocalLake(tmp_path / "lake")).finish()
    assert len(names(tmp_path / "lake")) == 11 and set(names(tmp_path / "lake").values()) == {1}


def test_its_files_are_merged_and_read_beside_the_others(engine: Engine, tmp_path: Path) -> None:
    """Apart from those of batches, whose places have nothing to do with theirs."""
    lake, spool = LocalLake(tmp_path / "lake"), Spool(tmp_path / "spool")
    teller = Teller(spool, 1)
    for number in range(3):
        teller.tell(story(1, NOON_NS, first_pid=100 + 10 * number))
        tell(engine, made(str(number)))
        writer = Follower(lake, tmp_path / "spool", "one", all_count, own=own(engine, lake)).catch_up()
    planned = list(find_merges(lake, "one", NOON_NS // 10**6 + SETTLED_MS))
    for each in planned:
        writer.merge(each)
    (merged,) = [path for path in lake_files(tmp_path / "lake") if "outrider-finding" in str(path)]
    (said,) = read_paths([str(merged.relative_to(tmp_path / "lake"))])
    assert said.collector == "one.own"
    reading = Reading(lake, *span_of_day(NOON_NS // 10**6))
    assert reading.ask("SELECT count(DISTINCT metadata.uid), count(*) FROM finding").rows == [(3, 3)]
    reading.close()
    assert set(Counter(each["metadata"]["uid"] for each in read_records(tmp_path / "lake")).values()) == {1}


def test_a_silent_agent_is_in_the_lake_though_its_process_is_killed(tmp_path: Path) -> None:
    """One agent after another falls silent, while the lake's process dies again and again."""
    clock = [time.time_ns()]
    database = open_database(tmp_path / "outrider.sqlite")
    intake = Intake(database, Spool(tmp_path / "spool"), collector="one", clock_ns=lambda: clock[0])
    intake.start()
    settings = Settings(data=tmp_path, token="x" * 8, lake=str(tmp_path / "lake"), lake_flush_s=0.05)
    orders = lake_orders(settings, "one")
    assert orders is not None
    chance, silent = random.Random(7), set()
    for number in range(6):
        child = start_child(orders)
        teller = Teller(Spool.__new__(Spool), number)
        request = make_request(
            teller.key, SigningKey.generate(), token="x" * 8, task=task_view(number), made_at_ns=NOON_NS
        )
        assert intake.enrol(request).result(10).accepted
        intake.submit(teller.seal(story(number, clock[0]))).result(10)
        assert intake.indexer.wait(30)
        clock[0] += int(100 * INTERVAL_S * 1e9)
        assert intake.look_for_silence().result(10) == 1
        silent.add(request.public_key)
        time.sleep(chance.uniform(0.0, 1.5 + LOOK_EVERY_S))
        child.kill()
        child.wait()
    last = start_child(orders)
    deadline_s = time.monotonic() + WITHIN_S
    while len(silences(tmp_path / "lake")) < len(silent):
        assert time.monotonic() < deadline_s, silences(tmp_path / "lake")
        time.sleep(0.1)
    stop_child(last)
    intake.close()
    assert set(silences(tmp_path / "lake").values()) == {1} and len(silences(tmp_path / "lake")) == len(silent)


def silences(lake: Path) -> Counter[str]:
    """Agents that the lake says fell silent, and how often."""
    told = [record for record in read_records(lake) if record["class_uid"] == 2004]
    return Counter(
        record["unmapped"]["agent"] for record in told if record["unmapped"]["name"] == "Outrider:Integrity/AgentSilent"
    )
