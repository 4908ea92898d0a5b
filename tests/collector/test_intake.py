"""The intake: what is answered is kept, also when the index was lost or late; silence is told once."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.exc import OperationalError

from outrider_collector import group, indexer
from outrider_collector import spool as spool_module
from outrider_collector.intake import Busy, Intake, StoreUnavailable
from outrider_collector.spool import Place, Spool
from outrider_collector.spooling import MAX_GROUP, MAX_WAITING
from outrider_collector.store import tables
from outrider_collector.store.database import open_database
from outrider_collector.store.findings import FindingQuery, query_findings
from outrider_wire.batch import FIRST_PREVIOUS, BatchFacts, seal_batch
from outrider_wire.errors import WireError
from outrider_wire.findings import Finding, TaskView

SECOND = 1_000_000_000

TASK = TaskView(arn="arn:task")


class Site:
    """A data directory, a clock, and the intake of the moment."""

    def __init__(self, data: Path, database: str) -> None:
        self.data, self.database = data, database
        self.now_ns = 1000 * SECOND
        self.open()

    def open(self) -> None:
        """Start an intake over what is there."""
        self.engine = open_database(self.database)
        self.intake = Intake(self.engine, Spool(self.data / "spool"), clock_ns=lambda: self.now_ns)
        self.intake.start()

    def reopen(self) -> None:
        """Restart it."""
        self.intake.close()
        self.open()

    def settled(self) -> None:
        """Everything that was answered is indexed."""
        assert self.intake.indexer.wait()

    def tell_gaps(self) -> None:
        """What is missing is missing."""
        self.settled()
        self.intake.look_for_silence().result(5)

    def types(self) -> list[str]:
        """What was found, in order, without the first part of its name."""
        self.settled()
        with self.engine.connect() as connection:
            page = query_findings(connection, FindingQuery(after=0, limit=1000))
        return [msgspec.json.decode(raw)["type"].split("/")[1] for raw in page.findings]

    def count(self, table: Any) -> int:
        """How many rows there are."""
        self.settled()
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


@pytest.fixture
def site(tmp_path: Path, store_url: str) -> Iterator[Site]:
    """A running intake, over each kind of store."""
    made = Site(tmp_path, store_url)
    yield made
    made.intake.close()


def test_what_was_answered_is_indexed_once(site: Site, speaker: Any, finding: Callable[..., Finding]) -> None:
    """A batch, the same again, and another: two batches, two findings."""
    one = speaker(task=TASK)
    assert site.intake.enrol(one.request()).result(5).accepted
    first = one.say(finding("a")).data
    receipts = [site.intake.submit(data).result(5) for data in (first, first, one.say(finding("b")).data)]
    assert [(receipt.sequence, receipt.duplicate) for receipt in receipts] == [(0, False), (0, True), (1, False)]
    site.reopen()
    assert (site.count(tables.batches), site.count(tables.occurrences)) == (2, 2)


def test_batches_that_wait_together_are_judged_in_order(site: Site, speaker: Any) -> None:
    """A chain handed in at once is whole, repeats within it are known."""
    one = speaker()
    site.intake.enrol(one.request()).result(5)
    said = [one.say().data for _ in range(40)]
    answers = [site.intake.submit(data) for data in (*said, *said)]
    assert [answer.result(5).duplicate for answer in answers] == [False] * 40 + [True] * 40
    site.reopen()
    assert site.types() == []


def test_an_index_that_was_lost_is_made_again(site: Site, speaker: Any, finding: Callable[..., Finding]) -> None:
    """From the spool, once, with the same findings about the chain."""
    one = speaker()
    site.intake.enrol(one.request()).result(5)
    one.sequence = 2
    site.intake.submit(one.say(finding("a")).data).result(5)
    site.tell_gaps()
    before = site.types()
    with site.engine.begin() as connection:
        for table in (tables.batches, tables.occurrences, tables.findings, tables.spool_position):
            connection.execute(delete(table))
        connection.execute(tables.agents.update().values(next_sequence=0, last_digest=bytes(32)))
    site.reopen()
    site.tell_gaps()
    assert site.types() == before == ["X", "Gap"]
    site.reopen()
    site.tell_gaps()
    assert site.types() == before


def test_a_fork_is_refused_and_told_once(site: Site, speaker: Any, finding: Callable[..., Finding]) -> None:
    """However often it is tried."""
    one = speaker()
    site.intake.enrol(one.request()).result(5)
    site.intake.submit(one.say().data).result(5)
    twin = speaker(key=one.key, resume=one.resume).say(finding("x")).data
    for _ in range(3):
        with pytest.raises(WireError, match="fork"):
            site.intake.submit(twin).result(5)
    site.reopen()
    assert site.types() == ["Fork"]


def test_no_agent_can_take_the_place_of_anothers_finding(
    site: Site, speaker: Any, finding: Callable[..., Finding]
) -> None:
    """Equal ids of two agents are two findings."""
    one, two = speaker(), speaker()
    for each in (one, two):
        site.intake.enrol(each.request()).result(5)
        site.intake.submit(each.say(finding("same")).data).result(5)
    site.reopen()
    assert site.count(tables.occurrences) == 2


def test_silence_is_told_once_and_again_after_speech(site: Site, speaker: Any) -> None:
    """Three intervals without a batch are silence; a batch ends it; a good-bye is no silence."""
    one, polite = speaker(interval_s=10.0), speaker()
    for each in (one, polite):
        site.intake.enrol(each.request()).result(5)
    site.intake.submit(one.say().data).result(5)
    site.intake.submit(polite.say(final=True).data).result(5)
    told = []
    for seconds in (29, 2, 100):
        site.now_ns += seconds * SECOND
        told.append(site.intake.look_for_silence().result(5))
    site.intake.submit(one.say().data).result(5)
    for seconds in (29, 2):
        site.now_ns += seconds * SECOND
        told.append(site.intake.look_for_silence().result(5))
    assert told == [0, 1, 0, 0, 1]
    assert site.types() == ["AgentSilent", "AgentSilent"]


def test_an_agent_that_enrols_and_never_speaks_is_silent(site: Site, speaker: Any) -> None:
    """Killed right after its start, it is told of all the same."""
    site.intake.enrol(speaker().request()).result(5)
    site.now_ns += 31 * SECOND
    assert site.intake.look_for_silence().result(5) == 1


def test_the_collectors_own_absence_is_nobodys_silence(site: Site, speaker: Any) -> None:
    """After a restart everybody gets their intervals anew."""
    one = speaker()
    site.intake.enrol(one.request()).result(5)
    site.now_ns += 3600 * SECOND
    site.reopen()
    assert site.intake.look_for_silence().result(5) == 0
    site.now_ns += 31 * SECOND
    assert site.intake.look_for_silence().result(5) == 1


def test_a_successor_tells_of_the_one_before(site: Site, speaker: Any) -> None:
    """At once, and the silence is not told a second time; its left batches still count."""
    one = speaker(task=TASK)
    site.intake.enrol(one.request()).result(5)
    site.intake.submit(one.say().data).result(5)
    two = speaker(task=TASK, resume=one.resume)
    assert site.intake.enrol(two.request(made_at_ns=2)).result(5).reason == "successor"
    assert not site.intake.submit(one.say().data).result(5).duplicate
    site.intake.submit(two.say(final=True).data).result(5)
    site.now_ns += 1000 * SECOND
    assert site.intake.look_for_silence().result(5) == 0
    assert site.types() == ["AgentSilent"]


def test_a_full_queue_says_so(site: Site, speaker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is bounded; who finds it full is told to come back, and is new then."""
    one = speaker()
    site.intake.enrol(one.request()).result(5)
    gate, append = threading.Event(), site.intake._spool.append

    def slow(batches: Any) -> Any:
        assert gate.wait(10)
        return append(batches)

    monkeypatch.setattr(site.intake._spool, "append", slow)
    answers = []
    with pytest.raises(Busy):
        for _ in range(MAX_WAITING + MAX_GROUP + 1):
            late = one.say().data
            answers.append(site.intake.submit(late))
    gate.set()
    assert not any(answer.result(5).duplicate for answer in answers)
    assert not site.intake.submit(late).result(5).duplicate


def test_a_batch_that_cannot_be_read_is_kept_and_told(site: Site, speaker: Any) -> None:
    """Its agent signed it: it is evidence, whatever it is."""
    one = speaker()
    site.intake.enrol(one.request()).result(5)
    data = seal_batch(
        one.key, BatchFacts(interval_s=1.0), sequence=0, previous=FIRST_PREVIOUS, sealed_at_ns=1, findings=[b"\x80"]
    ).data
    site.intake.submit(data).result(5)
    assert site.types() == ["UnreadableBatch"] and site.count(tables.batches) == 1


def test_a_store_that_refuses_is_caught_up_with(
    site: Site, speaker: Any, finding: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches are answered all the same, and indexed once it takes them again."""
    one = speaker()
    site.intake.enrol(one.request()).result(5)
    refusals = 2

    def refusing(*given: Any) -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise OperationalError("insert", {}, Exception("disk full"))
        save(*given)

    save = group.save_batches
    monkeypatch.setattr(indexer, "RETRY_S", 0.05)
    monkeypatch.setattr(group, "save_batches", refusing)
    for name in "abc":
        site.intake.submit(one.say(finding(name)).data).result(5)
    assert site.count(tables.occurrences) == 3 and refusals < 0


def test_what_comes_late_within_the_grace_is_no_gap(site: Site, speaker: Any) -> None:
    """Another collector may have it yet; what stays away is told, range by range."""
    one = speaker()
    site.intake.enrol(one.request()).result(5)
    said = [one.say().data for _ in range(6)]
    site.intake._grace_ns = 2 * SECOND
    for number in (0, 5, 3):
        site.intake.submit(said[number]).result(5)
    site.settled()
    site.intake.look_for_silence().result(5)
    assert site.types() == []
    site.now_ns += 3 * SECOND
    site.intake.look_for_silence().result(5)
    with site.engine.connect() as connection:
        page = query_findings(connection, FindingQuery(after=0))
    found = [msgspec.json.decode(raw)["evidence"] for raw in page.findings]
    assert [(each["first_missing"], each["last_missing"]) for each in found] == [(1, 2), (4, 4)]


def test_a_spool_that_takes_nothing_believes_nobody(site: Site, speaker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender is told to come back, and then the same batch is new."""
    one = speaker()
    site.intake.enrol(one.request()).result(5)
    said = one.say().data

    def full(batches: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(site.intake._spool, "append", full)
        with pytest.raises(StoreUnavailable):
            site.intake.submit(said).result(5)
    assert not site.intake.submit(said).result(5).duplicate


def test_pages_of_findings(site: Site, speaker: Any, finding: Callable[..., Finding]) -> None:
    """The newest by default, oldest first within; by time, by type, and onward from a cursor."""
    one = speaker()
    site.intake.enrol(one.request()).result(5)
    made = [
        finding("a", at="2026-01-01T00:00:00Z"),
        finding("b", at="2026-01-02T00:00:00Z", type="Other:Runtime/Y%"),
        finding("c", at="nonsense"),
    ]
    site.intake.submit(one.say(*made).data).result(5)
    site.reopen()

    def ask(**query: Any) -> list[str]:
        import msgspec

        with site.engine.connect() as connection:
            page = query_findings(connection, FindingQuery(**query))
        return [msgspec.json.decode(raw)["id"] for raw in page.findings]

    assert ask(limit=2) == ["b", "c"]
    assert ask(limit=2, after=0) == ["a", "b"]
    assert ask(type_prefix="Other:Runtime/Y%") == ["b"] and ask(type_prefix="%") == []
    assert ask(since_ns=1_767_312_000 * SECOND) == ["b"]


def test_the_spool_keeps_what_is_wanted_and_what_is_still_to_be_read(
    tmp_path: Path, speaker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old files go once everybody who follows the spool has read them, and never before."""
    monkeypatch.setattr(spool_module, "MAX_FILE_BYTES", 2_000)
    read: list[Place] = [Place(0, 0)]
    engine = open_database(tmp_path / "db.sqlite")
    intake = Intake(engine, Spool(tmp_path / "spool"), spool_bytes=5_000, followers=lambda: read)
    intake.start()
    one = speaker()
    intake.enrol(one.request()).result(5)

    def send(count: int) -> int:
        for _ in range(count):
            intake.submit(one.say().data).result(5)
            assert intake.indexer.wait()
        return sum(path.stat().st_size for path in (tmp_path / "spool").glob("*.spool"))

    assert send(60) > 15_000, "nobody has read it yet"
    read.clear()
    assert send(20) < 9_000
    intake.close()
