"""Reading: what is asked for is found, nothing else is opened, and nobody's SQL does more than read."""

from pathlib import Path

import pytest
from lake_stories import NOON_NS, NS, Teller, found, story, task_arn

from outrider_collector.lake.classes import PROCESS_ACTIVITY
from outrider_collector.lake.counting import all_count
from outrider_collector.lake.dialects import DUCKDB
from outrider_collector.lake.following import Follower
from outrider_collector.lake.places import LocalLake
from outrider_collector.lake.queries import QUERIES, Filter, make_events
from outrider_collector.lake.reading import Reading, find_files, span_of_day
from outrider_collector.lake.tree import grow, tree_of_finding
from outrider_collector.spool import Spool
from outrider_wire.errors import ConfigError

NOON_MS = NOON_NS // 10**6
HOUR_MS = 3_600_000
SINCE_MS, UNTIL_MS = span_of_day(NOON_MS)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LocalLake:
    """A lake of three tasks' stories, one an hour later, with a finding each."""
    path = tmp_path_factory.mktemp("read")
    spool = Spool(path / "spool")
    for number in range(3):
        at_ns = NOON_NS + (number == 2) * HOUR_MS * 10**6
        Teller(spool, number).tell(story(number, at_ns), [found(number, at_ns, pid=101)], at_ns=at_ns)
    made = LocalLake(path / "lake")
    Follower(made, path / "spool", "one", all_count).catch_up()
    return made


def ask(lake: LocalLake, **chosen: object) -> list[dict[str, object]]:
    """Events of the day that a filter chooses."""
    given = {"since_ms": SINCE_MS, "until_ms": UNTIL_MS} | chosen
    filter_ = Filter(**given)  # type: ignore[arg-type]
    reading = Reading(lake, filter_.since_ms, filter_.until_ms)
    records = reading.ask(make_events(DUCKDB, filter_)).records()
    reading.close()
    return records


def test_the_timeline_of_a_task_is_its_story(lake: LocalLake) -> None:
    """All that happened in it and nothing of the others, in the order it happened."""
    records = ask(lake, task=task_arn(1))
    told = story(1, NOON_NS)
    assert len(records) == len(told) + 1
    assert [r["at_ns"] for r in records] == sorted(r["at_ns"] for r in records)
    assert {r["task"] for r in records} == {task_arn(1)}
    assert ask(lake, task=f"{1:032x}") == records


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        ({"container": "app", "kind": "FileChanged"}, 9),
        ({"container": f"{1:064x}", "kind": "dns"}, 6),
        ({"pid": 102, "kind": "network"}, 6),
        ({"kind": "finding"}, 3),
        ({"text": "'évil.example' > /tmp/x1"}, 3),
        ({"text": "%"}, 0),
        ({"task": "nobody's"}, 0),
        ({"task": task_arn(0), "limit": 4}, 4),
        ({"since_ms": NOON_MS + HOUR_MS, "kind": "ProcessExited"}, 3),
        ({"until_ms": NOON_MS + HOUR_MS, "kind": "ProcessExited"}, 6),
    ],
)
def test_filters_choose(lake: LocalLake, chosen: dict[str, object], count: int) -> None:
    """Each filter lets through what it names; text is text, whatever signs are in it."""
    assert len(ask(lake, **chosen)) == count


def test_files_of_other_hours_are_not_opened(lake: LocalLake) -> None:
    """The hour in a file's name is enough to pass it over."""
    assert len(find_files(lake, PROCESS_ACTIVITY, SINCE_MS, UNTIL_MS)) == 2
    assert len(find_files(lake, PROCESS_ACTIVITY, NOON_MS + HOUR_MS, UNTIL_MS)) == 1
    assert find_files(lake, PROCESS_ACTIVITY, SINCE_MS - 86_400_000, SINCE_MS) == []


def test_every_built_in_query_answers(lake: LocalLake) -> None:
    """And that of programs dropped and executed finds the one that was."""
    reading = Reading(lake, SINCE_MS, UNTIL_MS)
    chosen = Filter(since_ms=SINCE_MS, until_ms=UNTIL_MS)
    answers = {query.name: reading.ask(query.make(DUCKDB, chosen)).records() for query in QUERIES}
    assert answers["programs"][0] == answers["programs"][0] | {"path": "/bin/sh", "times": 9, "tasks": 3}
    assert answers["connections"][0]["ip"] == "203.0.113.9"
    assert answers["names"] == [{"name": "evil.example", "times": 9, "tasks": 3}]
    assert answers["findings"][0]["tasks"] == 3
    assert answers["dropped"] == []


def test_the_tree_of_a_finding_has_its_ancestors_and_its_children(lake: LocalLake) -> None:
    """The server above the shell, and the shell marked with how it ended."""
    tree = tree_of_finding(lake, "finding-1-101", SINCE_MS, UNTIL_MS)
    assert tree.command == "server" and [child.pid for child in tree.children] == [101]
    assert tree.children[0].marked and tree.children[0].exit_code == 1
    with pytest.raises(ConfigError, match="no finding"):
        tree_of_finding(lake, "finding-7", SINCE_MS, UNTIL_MS)


def test_launches_that_make_no_tree_make_one_all_the_same() -> None:
    """An agent may say that two processes started each other: each is shown once."""
    row = {"event": "ProcessStarted", "at_ns": 1, "pid": 1, "path": "", "command": "", "exit_code": None}
    rows = [row | {"uid": a, "parent": b} for a, b in (("1-1", "2-2"), ("2-2", "1-1"), ("3-3", "1-1"), ("4-4", "4-4"))]
    tree = grow(rows, "1-1")
    assert tree.uid == "2-2" and [child.uid for child in tree.children] == ["1-1"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
        "COPY (SELECT 1) TO '{lake}/x.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/x.csv'",
        "ATTACH '{lake}/x.db'",
        "CREATE TABLE x AS SELECT 1",
        "DROP VIEW process",
        "SET enable_external_access = true",
        "PRAGMA enable_profiling",
        "INSTALL httpfs",
        "SELECT 1; SELECT 2",
        "",
        "SELECT",
        "SELECT * FROM lake",
        "SELECT * FROM read_text('{lake}/_outrider/one/commit.json')",
    ],
)
def test_sql_that_does_more_than_read_the_views_is_refused(lake: LocalLake, sql: str) -> None:
    """No file beyond the lake's, no write, no setting, no variable of ours, and always the same kind of error."""
    reading = Reading(lake, SINCE_MS, UNTIL_MS)
    with pytest.raises(ConfigError):
        reading.ask(sql.format(lake=lake.root))
    assert not list(Path(lake.root).glob("x.*"))
    assert reading.ask("SELECT count(*) FROM process").rows[0][0] > 0


def test_a_lake_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """Every view is there, with its columns and no rows."""
    reading = Reading(LocalLake(tmp_path / "nowhere"), SINCE_MS, UNTIL_MS)
    chosen = Filter(since_ms=SINCE_MS, until_ms=UNTIL_MS)
    assert all(reading.ask(query.make(DUCKDB, chosen)).rows == [] for query in QUERIES)


def test_only_the_row_groups_of_a_task_are_read(tmp_path: Path) -> None:
    """A task's day costs what the task has, not what the lake has: the plan says how many row groups were scanned."""
    from outrider_collector.lake.parquet import MIN_GROUP_ROWS
    from outrider_wire.events import ProcessId, ProcessReleased

    spool = Spool(tmp_path / "spool")
    for number in range(4):
        Teller(spool, number).tell([ProcessReleased(NOON_NS, ProcessId(n, n), "x", NS) for n in range(MIN_GROUP_ROWS)])
    made = LocalLake(tmp_path / "lake")
    Follower(made, tmp_path / "spool", "one", all_count).catch_up()
    reading = Reading(made, SINCE_MS, UNTIL_MS, classes=[PROCESS_ACTIVITY])
    sql = f"SELECT count(*) FROM process WHERE unmapped.task_arn = '{task_arn(2)}'"
    assert reading.ask(sql).rows == [(MIN_GROUP_ROWS,)]
    plan = reading._connection.execute(f"EXPLAIN ANALYZE {sql}").fetchall()[0][1]
    assert "Row Groups Scanned: 1 / 4" in plan
