"""What is missing is told only once every collector that may have it has brought in what it heard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, event

from outrider_collector.intake import Intake
from outrider_collector.keyring import MISSES_PER_S, KeyRing, NotAtHand
from outrider_collector.limits import Limited
from outrider_collector.spool import Spool
from outrider_collector.store.agents import save_agents
from outrider_collector.store.collectors import note_heard
from outrider_collector.store.database import open_database, writing
from outrider_collector.store.findings import FindingQuery, query_findings
from outrider_wire.errors import WireError

SECOND = 1_000_000_000
ABSENCE_S = 60.0


class Shared:
    """A store that several collectors share, and a clock for all of them."""

    def __init__(self, data: Path) -> None:
        self.data, self.now_ns = data, 1000 * SECOND
        self.engine = open_database(data / "db.sqlite")
        self.running: list[Intake] = []

    def open(self, name: str) -> Intake:
        """Start one of them."""
        made = Intake(
            open_database(self.data / "db.sqlite"),
            Spool(self.data / name),
            collector=name,
            absence_s=ABSENCE_S,
            clock_ns=lambda: self.now_ns,
        )
        made.start()
        self.running.append(made)
        return made

    def note(self, name: str, heard_until_ns: int) -> None:
        """What a collector that is somewhere else says of itself."""
        with writing(self.engine) as connection:
            note_heard(connection, name, alive_at_ns=self.now_ns, heard_until_ns=heard_until_ns)

    def look(self, intake: Intake) -> list[str]:
        """Have one look for what is missing; the types of all that was found so far."""
        assert intake.indexer.wait()
        intake.look_for_silence().result(5)
        with self.engine.connect() as connection:
            page = query_findings(connection, FindingQuery(after=0, limit=1000))
        return [msgspec.json.decode(raw)["type"].rpartition("/")[2] for raw in page.findings]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    """An empty store."""
    made = Shared(tmp_path)
    yield made
    for each in made.running:
        each.close()
    made.engine.dispose()


def test_what_a_dead_collector_may_have_is_not_missing_yet(shared: Shared, speaker: Any) -> None:
    """It is waited for as long as it may come back, and no longer."""
    intake, one = shared.open("a"), speaker(interval_s=3600.0)
    intake.enrol(one.request()).result(5)
    shared.note("dead", shared.now_ns)
    shared.now_ns += SECOND
    one.say()
    intake.submit(one.say().data).result(5)
    assert shared.look(intake) == []
    shared.now_ns += int((ABSENCE_S - 2) * SECOND)
    assert shared.look(intake) == []
    shared.now_ns += 3 * SECOND
    assert shared.look(intake) == ["Gap"]


def test_what_a_collector_that_is_behind_heard_is_no_silence(shared: Shared, speaker: Any) -> None:
    """After an outage of the store each has batches yet to index: nobody was silent meanwhile."""
    intake, one = shared.open("a"), speaker(interval_s=10.0)
    intake.enrol(one.request()).result(5)
    began_ns = shared.now_ns
    for _ in range(10):
        shared.now_ns += 10 * SECOND
        shared.note("behind", began_ns)
        assert shared.look(intake) == []
    shared.note("behind", shared.now_ns)
    assert shared.look(intake) == ["AgentSilent"]


def test_nobody_waits_for_a_collector_that_ended_in_peace(shared: Shared, speaker: Any) -> None:
    """It brought in all it had, and said so."""
    first, second, one = shared.open("a"), shared.open("b"), speaker(interval_s=10.0)
    first.enrol(one.request()).result(5)
    shared.look(second)
    shared.running.remove(second)
    second.close()
    shared.now_ns += 31 * SECOND
    assert shared.look(first) == ["AgentSilent"]


def test_many_agents_that_are_new_to_a_collector_are_known_or_told_to_come_back(shared: Shared, speaker: Any) -> None:
    """They are never told that they are unknown, and what one left on the disk is indexed whoever it is of."""
    speakers = [speaker() for _ in range(MISSES_PER_S + 20)]
    first = shared.open("a")
    for each in speakers:
        first.enrol(each.request()).result(5)
    ring = KeyRing(shared.engine, clock=lambda: 1.0)
    for each in speakers[:MISSES_PER_S]:
        ring.meet(each.key.agent)
        assert ring.recall(each.key.agent).public_key == each.key.public
    with pytest.raises(Limited):
        ring.meet(speakers[-1].key.agent)
    assert ring.find(speakers[-1].key.agent) is not None


def test_agents_that_were_read_are_read_again_only_when_one_changed(shared: Shared, speaker: Any) -> None:
    """Thousands that enrolled together are not read each second; a change that comes late, with an old time, is."""
    one, other, first = speaker(), speaker(), shared.open("a")
    first.enrol(one.request()).result(5)
    ring = KeyRing(shared.engine)
    asked = list_statements(shared.engine)

    def refresh() -> int:
        asked.clear()
        with shared.engine.connect() as connection:
            ring.refresh(connection)
        return sum("public_key" in statement for statement in asked)

    assert [refresh() for _ in range(4)] == [1, 1, 0, 0]  # the newest was not known at first
    assert ring.recall(one.key.agent).status == "live"
    shared.now_ns -= SECOND
    first.enrol(other.request()).result(5)
    assert [refresh(), refresh()] == [1, 0]
    assert ring.recall(other.key.agent).status == "live"
    with pytest.raises(NotAtHand):
        ring.recall("0" * 32)
    with pytest.raises(WireError, match="unknown-agent"):
        ring.meet("0" * 32)


def test_all_keys_of_a_large_store_are_read_at_the_start(store_url: str, speaker: Any) -> None:
    """However many there are and however late it is: the sum of their times would be no number of 64 bits."""
    engine, speakers, now_ns = open_database(store_url), [speaker() for _ in range(20)], 2_000_000_000 * SECOND
    with writing(engine) as connection:
        save_agents(connection, [replace(each.agent(), changed_at_ns=now_ns) for each in speakers])
    ring = KeyRing(engine)
    with engine.connect() as connection:
        ring.refresh(connection)
    engine.dispose()
    assert [ring.recall(each.key.agent).public_key for each in speakers] == [each.key.public for each in speakers]


def list_statements(engine: Engine) -> list[str]:
    """Where each statement of an engine is noted from now on."""
    noted: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: noted.append(given[2]))
    return noted
