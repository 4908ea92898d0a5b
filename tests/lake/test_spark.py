"""The built-in queries give the same rows on Spark as on DuckDB, over the same files."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from lake_stories import NOON_NS, NS, Teller, found, story, task_arn

from outrider_collector.lake.classes import CLASSES
from outrider_collector.lake.counting import all_count
from outrider_collector.lake.dialects import ATHENA, DIALECTS, DUCKDB, SPARK, TRINO
from outrider_collector.lake.following import Follower
from outrider_collector.lake.places import LocalLake
from outrider_collector.lake.queries import QUERIES, Filter, Query, make_finding
from outrider_collector.lake.reading import Reading, span_of_day
from outrider_collector.spool import Spool
from outrider_wire.events import FileChanged, FileFacts, ProcessExecuted, ProcessId

SINCE_MS, UNTIL_MS = span_of_day(NOON_NS // 10**6)

QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
"""To start soon matters more than to run fast, here."""

FILTERS = (
    Filter(since_ms=SINCE_MS, until_ms=UNTIL_MS, limit=100_000),
    Filter(since_ms=SINCE_MS, until_ms=UNTIL_MS, task=task_arn(1), container="app"),
    Filter(
        since_ms=NOON_NS // 10**6, until_ms=NOON_NS // 10**6 + 3_600_000, text="évil.example' > /tmp/x1", newest=True
    ),
    Filter(since_ms=SINCE_MS, until_ms=UNTIL_MS, task=f"{2:032x}", pid=101, kind="ProcessExecuted"),
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LocalLake:
    """Stories of three tasks over two hours, and a program that is dropped and run, with a hostile name."""
    path = tmp_path_factory.mktemp("spark")
    spool = Spool(path / "spool")
    for number in range(3):
        at_ns = NOON_NS + (number == 2) * 3600 * 10**9
        tool, process = FileFacts("/tmp/it's\\n 100%_!"), ProcessId(900, 900)
        dropped = [
            FileChanged(at_ns, "created", tool, NS, "elf", process, "exact"),
            ProcessExecuted(at_ns + 10, process, comm="x", exe=tool, argv=("x", "\\'"), mnt_ns=NS),
        ]
        teller = Teller(spool, number)
        teller.tell([*story(number, at_ns), *dropped], [found(number, at_ns)], at_ns=at_ns)
    made = LocalLake(path / "lake")
    Follower(made, path / "spool", "one", all_count).catch_up()
    return made


@pytest.fixture(scope="module")
def spark(lake: LocalLake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Spark on this machine, with each class as a view, its partitions found by their directories."""
    if shutil.which("java") is None:
        pytest.skip("no Java runtime: package default-jre-headless")
    pyspark_sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--driver-java-options '{QUICK_JAVA}' pyspark-shell"
    scratch = tmp_path_factory.mktemp("scratch")
    options = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.codegen.wholeStage": "false",  # to compile takes longer than to run, here
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
    }
    builder = pyspark_sql.SparkSession.builder.master("local[1]").appName("lake")
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    for each in CLASSES:
        session.read.parquet(f"{lake.root}/ext/{each.source}").createOrReplaceTempView(each.view)
    yield session
    session.stop()


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_spark_and_duckdb_answer_alike(lake: LocalLake, spark: Any, query: Query) -> None:
    """Row by row, for every built-in query, and for several filters, which all queries have in common."""
    total = 0
    for chosen in FILTERS if query.name == "events" else FILTERS[:1]:
        reading = Reading(lake, chosen.since_ms, chosen.until_ms)
        ours = reading.ask(query.make(DUCKDB, chosen))
        reading.close()
        frame = spark.sql(query.make(SPARK, chosen))
        assert tuple(frame.columns) == ours.names
        theirs = [tuple(row) for row in frame.collect()]
        assert theirs == ours.rows
        total += len(theirs)
    assert total > 0


def test_a_finding_is_found_alike(lake: LocalLake, spark: Any) -> None:
    """The query that the tree of a finding begins with."""
    chosen = FILTERS[0]
    reading = Reading(lake, chosen.since_ms, chosen.until_ms)
    ours = reading.ask(make_finding(DUCKDB, chosen, "finding-1-100")).rows
    theirs = [tuple(row) for row in spark.sql(make_finding(SPARK, chosen, "finding-1-100")).collect()]
    assert len(ours) == 1 and theirs == ours


def test_spark_passes_over_other_days(lake: LocalLake, spark: Any) -> None:
    """The condition on eventDay reaches the files: none of another day's is listed in the plan."""
    chosen = Filter(since_ms=SINCE_MS - 86_400_000, until_ms=SINCE_MS)
    plan = spark.sql(QUERIES[1].make(SPARK, chosen))._jdf.queryExecution().toString()
    assert "PartitionFilters: [isnotnull(eventDay" in plan


def test_texts_are_quoted_for_each_engine() -> None:
    """A literal ends where it should, in the way each engine ends it."""
    assert DUCKDB.quote("it's \\") == ATHENA.quote("it's \\") == TRINO.quote("it's \\") == "'it''s \\'"
    assert SPARK.quote("it's \\") == "'it\\'s \\\\'"
    assert all(dialect.quote("a\0b") == "'ab'" for dialect in DIALECTS.values())
