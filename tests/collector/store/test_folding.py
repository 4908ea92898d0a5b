"""Repeats fold into one finding that stays itself; each of them is kept, and counted once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import func, select

from outrider_collector.store import tables
from outrider_collector.store.database import open_database
from outrider_collector.store.folding import fold_id, workload_of
from outrider_collector.store.stored import load_finding, load_occurrences, read_changes
from outrider_wire.findings import Finding, TaskView

SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND


def test_repeats_are_one_finding(store: Any) -> None:
    """Across tasks of the family: their number, the first and the last time, and what the last one said."""
    store.tell(store.finding(task="1", at_ns=NOW_NS - 50 * SECOND, evidence={"stdio.remote": "10.0.0.1:5000"}))
    store.tell(store.finding(task="2", at_ns=NOW_NS - 60 * SECOND, evidence={"stdio.remote": "10.0.0.1:5001"}))
    store.tell(store.finding("last", task="3", at_ns=NOW_NS - 5 * SECOND, evidence={"stdio.remote": "10.0.0.1:5002"}))
    found = store.one()
    assert (found.count, found.finding.id, found.state) == (3, "last", "new")
    assert (found.first_seen_ns, found.last_seen_ns) == (NOW_NS - 60 * SECOND, NOW_NS - 5 * SECOND)
    told = store.read(load_occurrences, found.number)
    assert [each.agent[-1] for each in told] == ["3", "2", "1"]
    assert store.read(load_finding, found.id) == found


@pytest.mark.parametrize(
    "change",
    [
        {"type": "Execution:Runtime/Other"},
        {"rule": "Another"},
        {"family": "api"},
        {"account": "999999999999"},
        {"cluster": "test"},
        {"container": "sidekick"},
        {"exe": "/bin/bash"},
        {"evidence": {"proc.new_file": "/tmp/b"}},
        {"evidence": {"stdio.remote": "10.0.0.2:1"}},
        {"evidence": {"dns.name": "pool.example"}},
    ],
)
def test_what_differs_in_its_key_is_another_finding(store: Any, change: dict[str, Any]) -> None:
    """Type, rule, workload, container, executable, subject."""
    store.tell(store.finding(), store.finding(**change))
    assert [each.count for each in store.all()] == [1, 1]


@pytest.mark.parametrize(
    "change", [{"task": "9"}, {"description": "else"}, {"evidence": {"fd.name": "1.2.3.4:5->6.7.8.9:10"}}]
)
def test_what_differs_each_time_is_no_part_of_the_key(store: Any, change: dict[str, Any]) -> None:
    """Tasks, words, ports."""
    store.tell(store.finding(), store.finding(**change))
    assert store.one().count == 2


def test_an_agents_record_is_its_own(store: Any) -> None:
    """What is missing in the record of one agent does not fold with another's, though they are of one family."""
    gap = {"type": "Outrider:Integrity/Gap", "process": None}
    store.tell(store.finding(task="1", **gap), store.finding(task="2", **gap), store.finding(task="2", **gap))
    assert sorted(each.count for each in store.all()) == [1, 2]


def test_told_again_it_counts_once(store: Any) -> None:
    """However often a batch is indexed, in one transaction or many, by whichever collector."""
    some = [store.finding("a"), store.finding("b"), store.finding("c", family="api")]
    for each in ([*some, *some], some[::-1], some[1:]):
        store.tell(*each)
    assert sorted((each.finding.id, each.count) for each in store.all()) == [("b", 2), ("c", 1)]
    assert store.read(lambda c: c.execute(select(func.count()).select_from(tables.occurrences)).scalar()) == 3


def test_an_id_outlives_the_store(store: Any, store_url: str) -> None:
    """It follows from the key alone: after a restart and in another store it is the same."""
    store.tell(store.finding())
    before = store.one()
    store.engine.dispose()
    again = open_database(store_url)
    with again.connect() as connection:
        assert load_finding(connection, before.id) == before
    again.dispose()
    assert before.id == fold_id(store.finding(task="77"))
    assert before.id == "cd8ff0f69f3e2cfe823dd731fbba0034"


def test_the_count_that_an_agent_gives_is_added(store: Any) -> None:
    """An agent that folded says how many they were; nonsense counts as one."""
    store.tell(store.finding(count=5), store.finding(count=-3), store.finding(count=0))
    assert store.one().count == 7


def test_a_clock_that_is_ahead_pins_nothing(store: Any) -> None:
    """Nothing was seen later than it came; an unreadable time is ours."""
    store.tell(store.finding(at="9999-12-31T23:59:59Z"), store.finding(family="api", at="nonsense"))
    assert [each.last_seen_ns for each in store.all()] == [NOW_NS, NOW_NS]


def test_hostile_text_is_kept_and_found(store: Any) -> None:
    """NUL, quotes, markup and paths without end: what was said comes back whole, and no engine chokes on it."""
    evil = "a\0b'\"--<script>%_\\ \N{SNOWMAN}" + "x" * 5000
    told = store.finding(
        evil[:200], type=evil, rule=evil, title=evil, description=evil, family=evil, cluster=evil, exe="/" + evil,
        container=evil, task=evil, evidence={evil: evil, "dns.name": evil}, agent="a" * 32, account=evil,
    )  # fmt: skip
    store.tell(told)
    assert store.one().finding == told
    for asked in ({"rule": evil}, {"family": evil}, {"executable": "/" + evil}, {"type_prefix": evil}, {"text": evil}):
        assert [each.finding for each in store.all(**asked)] == [told], asked
    assert store.all(task=told.task.arn) == [store.one()]


def test_changes_come_in_order(store: Any) -> None:
    """A reader who goes on from the last change sees each finding in its newest state."""
    store.tell(store.finding("a"), store.finding("b", family="api"))
    first = store.read(read_changes, 0)
    assert [each.finding.id for each in first] == ["a", "b"]
    store.tell(store.finding("c"))
    later = store.read(read_changes, first[-1].change)
    assert [(each.finding.id, each.count, each.id) for each in later] == [("c", 2, first[0].id)]
    assert store.read(read_changes, later[-1].change) == []
    assert [each.finding.id for each in store.read(read_changes, 0, limit=1)] == ["b"]


texts = st.text(max_size=30)


@given(st.builds(TaskView, arn=texts, cluster=texts, family=texts), texts, texts, texts)
def test_any_task_has_a_workload_and_an_id(task: TaskView, kind: str, remote: str, agent: str) -> None:
    """Whatever an agent says of its task; and what it says of another field never makes two keys one."""
    workload_of(task)
    one = Finding(
        id="x", type=kind, rule="r", severity="LOW", title="", at="", process=None, container=None,
        evidence={"stdio.remote": remote}, attribution="exact", task=task, agent=agent,
    )  # fmt: skip
    assert len(fold_id(one)) == 32
    assert fold_id(one) != fold_id(replace(one, type=kind + "\0", rule="r"))
