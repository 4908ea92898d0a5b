"""Several collectors, one store: nothing is missed, nothing doubled, nobody waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from outrider_collector.intake import Intake
from outrider_collector.spool import Spool
from outrider_collector.store.agents import Agent, load_agent, lock_agents, save_agents
from outrider_collector.store.database import open_database, writing
from outrider_collector.store.findings import save_findings
from outrider_collector.store.stored import read_changes
from outrider_collector.store.triage import archive, reopen
from outrider_wire.findings import Finding, TaskView

SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND
WRITERS = 4
ROUNDS = 25


def agent(name: str, **changes: Any) -> Agent:
    """An agent."""
    made = Agent(
        agent=name * 32, public_key=b"k" * 32, resume_public_key=b"r" * 32, status="live", task=None, made_at_ns=1,
        enrolled_at_ns=1, seen_at_ns=1,
    )  # fmt: skip
    return replace(made, **changes)


def indexed(engine: Engine, names: list[str], found: list[Finding]) -> None:
    """What an indexer does in one transaction: agents locked, moved on, findings last."""
    with writing(engine) as connection:
        locked = lock_agents(connection, names)
        save_agents(connection, [replace(each, next_sequence=each.next_sequence + 1) for each in locked.values()])
        save_findings(connection, NOW_NS, found)


def test_writers_do_not_deadlock_and_a_reader_misses_nothing(store: Any, store_url: str) -> None:
    """Several write the same agents and findings in any order while one follows the feed and one triages."""
    store.write(save_agents, [agent(name) for name in "abcd"])
    told = [[store.finding(f"{w}-{r}", exe=f"/bin/{(w + r) % 5}") for r in range(ROUNDS)] for w in range(WRITERS)]
    engines = [open_database(store_url) for _ in range(WRITERS)]
    written, done = threading.Event(), threading.Event()

    def write(writer: int) -> None:
        for r, found in enumerate(told[writer]):
            names = [name * 32 for name in ("abcd", "dcba", "bd", "db")[(writer + r) % 4]]
            indexed(engines[writer], names, [found, told[(writer + 1) % WRITERS][r]])

    def triage() -> None:
        while not written.is_set():
            ids = [each.id for each in store.all()]
            store.write(archive, ids[::-1], who="ann", at_ns=1)
            store.write(reopen, ids, who="ann", at_ns=2)

    def follow() -> dict[str, Any]:
        seen: dict[str, Any] = {}
        cursor = 0
        while True:
            ended = done.is_set()
            changes = store.read(read_changes, cursor, limit=3)
            for each in changes:
                assert each.change > cursor
                cursor, seen[each.id] = each.change, each
            if ended and not changes:
                return seen

    with ThreadPoolExecutor(WRITERS + 2) as pool:
        following, triaging = pool.submit(follow), pool.submit(triage)
        try:
            for writing_ in [pool.submit(write, writer) for writer in range(WRITERS)]:
                writing_.result(60)
        finally:
            written.set()
            triaging.result(60)
            done.set()
        assert following.result(60) == {each.id: each for each in store.all()}
    assert sum(each.count for each in store.all()) == WRITERS * ROUNDS
    moved = sum(store.read(load_agent, name * 32).next_sequence for name in "abcd")
    assert moved == WRITERS * ROUNDS * 3
    for each in engines:
        each.dispose()


def test_a_change_that_commits_late_is_not_overtaken(store: Any, store_url: str) -> None:
    """While one who took a number has not committed, nobody shows a higher one; then both are there in order."""
    other = open_database(store_url)
    begun, may_end = threading.Event(), threading.Event()

    def late() -> None:
        with writing(other) as connection:
            save_findings(connection, NOW_NS, [store.finding("late")])
            begun.set()
            assert may_end.wait(30)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(late)
        assert begun.wait(30)
        second = pool.submit(store.tell, store.finding("soon", family="api"))
        with pytest.raises(TimeoutError):
            second.result(0.3)
        assert store.read(read_changes, 0) == []
        may_end.set()
        first.result(30), second.result(30)
    assert [each.finding.id for each in store.read(read_changes, 0)] == ["late", "soon"]
    other.dispose()


def test_a_task_has_one_live_key(store: Any) -> None:
    """The database itself refuses a second; one that succeeded, another task, or none at all does not count."""
    task = TaskView("arn:aws:ecs:eu-west-1:123456789012:task/prod/1")
    store.write(save_agents, [agent("a", task=task), agent("b"), agent("c"), agent("d", task=TaskView("arn:other"))])
    with pytest.raises(IntegrityError):
        store.write(save_agents, [agent("e", task=task)])
    past = agent("a", task=task, status="succeeded")
    store.write(save_agents, [past, agent("e", task=task), agent("f", task=task, status="quarantined")])
    assert store.read(load_agent, "e" * 32).status == "live"


def test_two_keys_for_one_task_at_once(store: Any, store_url: str, speaker: Any, tmp_path: Path) -> None:
    """Offered to two collectors in the same moment: one is let in, the other is told of."""
    intakes = []
    for name in "ab":
        intakes.append(Intake(open_database(store_url), Spool(tmp_path / name), collector=name))
        intakes[-1].start()
    for number in range(10):
        task = TaskView(f"arn:aws:ecs:eu-west-1:123456789012:task/prod/{number:032x}")
        keys = [speaker(task=task), speaker(task=task)]
        asked = [intake.enrol(key.request()) for intake, key in zip(intakes, keys, strict=True)]
        assert sorted(each.result(30).accepted for each in asked) == [False, True]
        known = [store.read(load_agent, key.key.agent).status for key in keys]
        assert sorted(known) == ["live", "quarantined"]
    for intake in intakes:
        intake.close()


def test_what_no_spool_brings_back_is_durable(store: Any) -> None:
    """On SQLite each kind of transaction says what a power cut may take; PostgreSQL lets it take nothing."""

    def asked(durable: bool) -> object:
        what = "PRAGMA synchronous" if store.engine.dialect.name == "sqlite" else "SHOW synchronous_commit"
        with writing(store.engine, durable=durable) as connection:
            return connection.exec_driver_sql(what).scalar()

    expected = ([2, 1, 2], ["on", "on", "on"])
    assert [asked(True), asked(False), asked(True)] in expected


def test_a_locked_agent_is_waited_for(store: Any, store_url: str) -> None:
    """Two who move the same agent on do so one after the other."""
    store.write(save_agents, [agent("a")])
    other = open_database(store_url)

    def move(engine: Engine) -> None:
        for _ in range(20):
            indexed(engine, ["a" * 32], [])

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(move, store.engine), pool.submit(move, other)]:
            each.result(60)
    assert store.read(load_agent, "a" * 32).next_sequence == 40
    other.dispose()
