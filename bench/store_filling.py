"""A million findings put into a store in bulk, as a fleet of some hundred services leaves them in three months.

The database makes the rows itself, out of templates and of draws of chance that were written before.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    insert,
    select,
    text,
    update,
)

from outrider_collector.store import fulltext
from outrider_collector.store.database import writing
from outrider_collector.store.findings import row_of
from outrider_collector.store.tables import feed, findings, occurrences
from outrider_wire.findings import Ancestor, ContainerView, Finding, ProcessView, TaskView
from outrider_wire.timestamps import to_rfc3339

NOW_NS: Final = 1_800_000_000_000_000_000
SPAN_NS: Final = 90 * 86_400_000_000_000
TEMPLATES: Final = 20_000
DRAWS: Final = 9_973
STEP: Final = 7_919
"""Both primes: templates come in an order in which nothing lies beside its like, and with each draw in turn."""
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

_TEXTS: Final = (
    "type",
    "rule",
    "account",
    "region",
    "cluster",
    "family",
    "container",
    "image",
    "process",
    "executable",
    "words",
)

_drafts = MetaData()
_templates = Table(
    "bench_templates",
    _drafts,
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("told", Text),
    Column("task_arn", Text),
    Column("body", LargeBinary),
    Column("severity", SmallInteger),
    *(Column(name, Text) for name in _TEXTS),
    prefixes=["TEMPORARY"],
)
_draws = Table(
    "bench_draws",
    _drafts,
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("lasts_ns", BigInteger),
    Column("state", Text),
    Column("count", Integer),
    prefixes=["TEMPORARY"],
)


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
    with _patient(engine) as connection:
        _drop_indexes(connection)
        connection.execute(update(feed).values(change=count))
        _write_drafts(connection)
        for table, said in ((findings, _finding_sql(connection)), (occurrences, _occurrence_sql(connection))):
            connection.execute(text(_insert_sql(connection, table, said, count)))
        for draft in (_templates, _draws):
            draft.drop(connection)
    for table in (findings, occurrences):
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
    """A transaction that may take its time, and memory to sort in."""
    with writing(engine, durable=False) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '512MB'")
        yield connection


def _write_drafts(connection: Connection) -> None:
    """What rows are made of: the templates, and what chance gives a finding besides."""
    chance = random.Random(1)
    _drafts.create_all(connection)
    found = [make_finding(number, chance) for number in range(TEMPLATES)]
    connection.execute(insert(_templates), [_template(place, each) for place, each in enumerate(found)])
    drawn = [
        {
            "place": place,
            "lasts_ns": int(chance.expovariate(1 / (SPAN_NS / 20))),
            "state": chance.choices(("new", "archived", "suppressed"), (60, 30, 10))[0],
            "count": chance.randrange(1, 100),
        }
        for place in range(DRAWS)
    ]
    connection.execute(insert(_draws), drawn)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE bench_templates")
        connection.exec_driver_sql("ANALYZE bench_draws")


def _template(place: int, found: Finding) -> dict[str, object]:
    said = {"place": place, "told": found.id, "task_arn": found.task.arn if found.task else ""}
    return row_of(found) | said | {"body": msgspec.json.encode(found)}


def _finding_sql(connection: Connection) -> dict[str, str]:
    """What of a finding is not its template's, by column: t, d and n are template, draw and number."""
    sqlite = connection.dialect.name == "sqlite"
    quote = "chr(39)" if not sqlite else "char(39)"
    words = f"t.words || ' ' || {quote} || 'job' || n.number || {quote}"
    return {
        "number": "n.number",
        "id": _id_sql(connection),
        "change": "n.number",
        "latest": "n.number",
        "count": "d.count",
        "first_seen_ns": "n.first_ns",
        "last_seen_ns": f"{'min' if sqlite else 'least'}(n.first_ns + d.lasts_ns, {NOW_NS})",
        "state": "d.state",
        "archived_at_ns": "0",
        "suppressed_by": "0",
        "assignee": "CASE WHEN n.number % 23 = 0 THEN 'person-' || n.number % 17 ELSE '' END",
        "words": words if sqlite else f"({words})::tsvector",
    }


def _occurrence_sql(connection: Connection) -> dict[str, str]:
    return {
        "position": "n.number",
        "finding": "n.number",
        "agent": _id_sql(connection),
        "id": "t.told",
        "at_ns": str(NOW_NS),
        "received_at_ns": str(NOW_NS),
        "collector": "''",
    }


def _id_sql(connection: Connection) -> str:
    return "printf('%032x', n.number)" if connection.dialect.name == "sqlite" else "lpad(to_hex(n.number), 32, '0')"


def _insert_sql(connection: Connection, table: Table, said: dict[str, str], count: int) -> str:
    """One statement for all rows, the oldest first."""
    names = [column.name for column in table.columns]
    numbers = f"generate_series(1, {count}::bigint) AS g(number)"
    series = ""
    if connection.dialect.name == "sqlite":
        numbers = "g"
        series = f"WITH RECURSIVE g(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM g WHERE number < {count})"
    first = f"{NOW_NS - SPAN_NS} + {SPAN_NS // count} * number"
    quoted = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(said.get(name, f't."{name}"') for name in names)
    return f"""{series} INSERT INTO {table.name} ({quoted}) SELECT {values}
        FROM (SELECT number, {first} AS first_ns FROM {numbers}) AS n
        JOIN bench_templates AS t ON t.place = n.number * {STEP} % {TEMPLATES}
        JOIN bench_draws AS d ON d.place = n.number % {DRAWS}"""


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
