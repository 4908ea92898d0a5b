"""Retention: what is too old goes and the rest stays; what went cannot come again as new."""

import threading
import time
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from outrider_collector.chain import judge_link
from outrider_collector.pruning import start_pruning
from outrider_collector.store import retention, tables
from outrider_collector.store.agents import Agent, load_agent, save_agents
from outrider_collector.store.audit import AuditFilter, list_audit
from outrider_collector.store.batches import BatchRow, load_batch, save_batches
from outrider_collector.store.counting import count_store
from outrider_collector.store.retention import DAY_NS, Ages, Pruned, prune
from outrider_collector.store.stored import load_occurrences
from outrider_collector.store.triage import add_note, archive
from outrider_wire.batch import open_envelope, verify_envelope

NOW_NS = 1_800_000_000_000_000_000


def count(store: Any, table: Any) -> int:
    """How many rows there are."""
    found: int = store.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())
    return found


def test_old_occurrences_go_but_the_latest(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The finding keeps its count and what it says."""
    monkeypatch.setattr(retention, "CHUNK", 3)
    for day in (100, 99, 98, 97, 96, 2):
        at_ns = NOW_NS - day * DAY_NS
        store.tell(store.finding(at_ns=at_ns), at_ns=at_ns)
        if day > 90:
            store.tell(store.finding(family="old", at_ns=at_ns), at_ns=at_ns)
    before = store.all()
    assert prune(store.engine, Ages(), NOW_NS) == Pruned(occurrences=9)
    assert store.all() == before and [each.count for each in before] == [6, 5]
    assert [len(store.read(load_occurrences, each.number)) for each in before] == [1, 1]
    assert prune(store.engine, Ages(occurrences=0), NOW_NS) == Pruned()


def test_old_findings_go_where_asked(store: Any) -> None:
    """With their notes and occurrences; the log stays until its own time has come."""
    for family, day in (("old", 50), ("new", 1)):
        at_ns = NOW_NS - day * DAY_NS
        store.tell(store.finding(family=family, at_ns=at_ns), at_ns=at_ns)
    for each in store.all():
        store.write(add_note, each.id, "hm", who="ann", at_ns=NOW_NS - 40 * DAY_NS)
    assert prune(store.engine, Ages(findings=30), NOW_NS) == Pruned(findings=1)
    assert store.one().finding.task.family == "new"
    assert (count(store, tables.occurrences), count(store, tables.notes)) == (1, 1)
    assert len(store.read(list_audit, AuditFilter())) == 2
    assert prune(store.engine, Ages(audit=30), NOW_NS) == Pruned(audit=2)


def test_old_batches_go_and_are_remembered_to_have_been(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to which number is noted with the agent."""
    monkeypatch.setattr(retention, "CHUNK", 4)
    made = Agent(
        agent="a" * 32, public_key=b"k" * 32, resume_public_key=b"r" * 32, status="live", task=None, made_at_ns=1,
        enrolled_at_ns=1, seen_at_ns=1, next_sequence=10,
    )  # fmt: skip
    store.write(save_agents, [made])
    rows = [
        BatchRow(
            agent="a" * 32, sequence=n, digest=b"d", previous=b"p", sealed_at_ns=1,
            received_at_ns=NOW_NS - (100 - n * 2) * DAY_NS, findings=0, events=0, shed_findings=0, shed_events=0,
            collector="c", spool_file=1, spool_offset=n,
        )
        for n in range(10)
    ]  # fmt: skip
    store.write(save_batches, rows)
    assert prune(store.engine, Ages(batches=91), NOW_NS) == Pruned(batches=5)
    assert store.read(load_batch, "a" * 32, 4) is None and store.read(load_batch, "a" * 32, 5) is not None
    assert store.read(load_agent, "a" * 32).forgotten_before == 5


def test_a_batch_that_was_forgotten_is_not_new_again(speaker: Any) -> None:
    """Who kept a copy of it cannot have it counted twice."""
    one = speaker()
    old = verify_envelope(open_envelope(one.say().data), one.key.public)
    agent = replace(one.agent(), next_sequence=7, forgotten_before=5)
    assert judge_link(agent, old, lambda number: None, 1).verdict == "duplicate"
    assert judge_link(replace(agent, forgotten_before=0), old, lambda number: None, 1).verdict == "new"


def test_it_is_done_beside_what_runs(store: Any) -> None:
    """By a thread that ends with it."""
    for family in ("a", "b"):
        store.tell(store.finding(family=family, at_ns=NOW_NS - 9 * DAY_NS), at_ns=NOW_NS - 9 * DAY_NS)
    deadline_s = time.monotonic() + 20
    with start_pruning(store.engine, Ages(findings=5), clock_ns=lambda: NOW_NS, first_s=0.01):
        while store.all():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    assert "prune" not in {thread.name for thread in threading.enumerate()}


def test_what_is_there_is_counted(store: Any) -> None:
    """For metrics."""
    store.tell(store.finding(), store.finding(family="api", severity="LOW"))
    store.write(archive, [store.all()[0].id], who="ann", at_ns=1)
    counts = store.read(count_store)
    assert counts.findings_by_state == {"new": 1, "archived": 1, "suppressed": 0}
    assert counts.findings_by_severity == {"LOW": 1, "MEDIUM": 0, "HIGH": 1}
    assert counts.change > 2 and counts.agents_by_status["live"] == 0
