"""A million findings put into a store in bulk, as a fleet of some hundred services leaves them in three months."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, Table, select, update

from outrider_collector.store import fulltext
from outrider_collector.store.database import writing
from outrider_collector.store.findings import row_of
from outrider_collector.store.tables import feed, findings, occurrences
from outrider_wire.findings import Ancestor, ContainerView, Finding, ProcessView, TaskView
from outrider_wire.timestamps import to_rfc3339

NOW_NS: Final = 1_800_000_000_000_000_000
SPAN_NS: Final = 90 * 86_400_000_000_000
TEMPLATES: Final = 20_000
CHUNK: Final = 20_000
FAMILIES: Final = tuple(f"service-{n}" for n in range(200))
TYPES: Final = (
    ("Execution:Runtime/NewBinaryExecuted", 40),
    ("Execution:Runtime/NewLibraryLoaded", 25),
    ("Execution:Runtime/SuspiciousCommand", 20),
    ("DefenseEvasion:Runtime/FilelessExecution", 8),
    ("Execution:Runtime/ReverseShell", 5),
    ("Discovery:Runtime/SuspiciousCommand", 1.8),
    ("CryptoCurrency:Runtime/BitcoinTool.B!DNS", 0.2),
)
TOOLS: Final = ("python3", "node", "java", "bash", "sh", "curl", "wget", "ruby", "perl", "nc")

Line = tuple[Any, ...]


def make_finding(number: int, chance: random.Random) -> Finding:
    """One of the findings that the others are copies of: no two of them have the same words."""
    kind = chance.choices([name for name, _ in TYPES], [weight for _, weight in TYPES])[0]
    family = FAMILIES[min(int(chance.expovariate(0.03)), len(FAMILIES) - 1)]
    tool = "xmrig" if chance.random() < 0.0005 else chance.choice(TOOLS)
    exe = f"/tmp/build-{chance.randrange(3000)}/{tool}" if chance.random() < 0.5 else f"/usr/bin/{tool}"
    account, task = f"{100_000_000_000 + number % 10}", f"{chance.randrange(50):032x}"
    command = f"{tool} --config /etc/{family}/{chance.randrange(500)}.conf --token {chance.randrange(1 << 40):x}"
    return Finding(
        id=f"t{number}", type=kind, rule=kind.rpartition("/")[2], at=to_rfc3339(NOW_NS),
        severity=chance.choices(("LOW", "MEDIUM", "HIGH"), (70, 25, 5))[0],
        title="A program that is not part of the image was executed",
        process=ProcessView(
            number, number, tool, exe, command, "/srv/app", 1000,
            [Ancestor(1, "entry", "/usr/local/bin/entry", "entry serve"), Ancestor(2, "sh", "/bin/sh", "sh -c run")],
            to_rfc3339(NOW_NS),
        ),
        container=ContainerView(f"{number:064x}", f"part-{chance.randrange(20)}", f"registry/{family}:1.{number % 90}"),
        evidence={"proc.new_file": exe, "proc.argv": command, "container.name": "app"}, attribution="exact",
        description=f"New program executed (file={exe} command={command} parent=sh container=app)",
        task=TaskView(f"arn:aws:ecs:eu-west-1:{account}:task/cluster-{number % 5}/{task}", "", family, "7"),
        agent=f"{number:032x}",
    )  # fmt: skip


def fill(engine: Engine, count: int) -> None:
    """Write so many, with the indexes made afterwards."""
    chance = random.Random(1)
    templates = [(row_of(found), found, msgspec.json.encode(found)) for found in _findings(chance)]
    with _patient(engine) as connection:
        _drop_indexes(connection)
        connection.execute(update(feed).values(change=count))
    for table, lines in ((findings, _finding_lines), (occurrences, _occurrence_lines)):
        with _patient(engine) as connection:
            _copy(connection, table, lines(templates, count))
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            with _patient(engine) as connection:
                index.create(connection)
    with _patient(engine) as connection:
        fulltext.make_index(connection)
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(f"INSERT INTO {fulltext.FTS}({fulltext.FTS}) VALUES ('rebuild')")
    _settle(engine)


@contextmanager
def _patient(engine: Engine) -> Iterator[Connection]:
    """A transaction that may take its time."""
    with writing(engine, durable=False) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        yield connection


def _findings(chance: random.Random) -> Iterator[Finding]:
    return (make_finding(number, chance) for number in range(TEMPLATES))


def _finding_lines(templates: list[Any], count: int) -> Iterator[Line]:
    chance, names = random.Random(2), [column.name for column in findings.columns]
    for number in range(1, count + 1):
        row, _, _ = templates[chance.randrange(TEMPLATES)]
        first_ns = NOW_NS - SPAN_NS + SPAN_NS * number // count
        last_ns = min(first_ns + int(chance.expovariate(1 / (SPAN_NS / 20))), NOW_NS)
        state = chance.choices(("new", "archived", "suppressed"), (60, 30, 10))[0]
        values = row | {
            "number": number,
            "id": f"{number:032x}",
            "change": number,
            "latest": number,
            "count": chance.randrange(1, 100),
            "first_seen_ns": first_ns,
            "last_seen_ns": last_ns,
            "state": state,
            "archived_at_ns": 0,
            "suppressed_by": 0,
            "assignee": f"person-{number % 17}" if number % 23 == 0 else "",
            "words": f"{row['words']} 'job{number}'",
        }
        yield tuple(values[name] for name in names)


def _occurrence_lines(templates: list[Any], count: int) -> Iterator[Line]:
    chance = random.Random(2)
    for number in range(1, count + 1):
        _, found, body = templates[chance.randrange(TEMPLATES)]
        chance.expovariate(1), chance.choices((1,), (1,)), chance.randrange(1, 100)  # as many as `_finding_lines` takes
        yield (number, number, f"{number:032x}", found.id, NOW_NS, NOW_NS, found.task.arn, "", body)


def _copy(connection: Connection, table: Table, lines: Iterator[Line]) -> None:
    raw = connection.connection.driver_connection
    assert raw is not None
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(table.columns))
        while some := list(islice(lines, CHUNK)):
            raw.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", some)
        return
    with raw.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
        for line in lines:
            copy.write_row(line)


def _drop_indexes(connection: Connection) -> None:
    for table in (findings, occurrences):
        for index in table.indexes:
            index.drop(connection)
    if connection.dialect.name == "sqlite":
        for name in ("added", "gone", "changed"):
            connection.exec_driver_sql(f"DROP TRIGGER {fulltext.FTS}_{name}")
        connection.exec_driver_sql(f"DROP TABLE {fulltext.FTS}")
    else:
        connection.exec_driver_sql(f"DROP INDEX {fulltext.FTS}")


def _settle(engine: Engine) -> None:
    """As the engines' own housekeeping leaves them."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("VACUUM ANALYZE")
        assert connection.execute(select(findings.c.number).limit(1)).first() is not None
