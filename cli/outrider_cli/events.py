"""`outrider events`: ask the event lake, in a directory or on S3, without a collector.

Times are RFC 3339 or a day, `2026-01-02`; without any it is today's records in UTC that are asked.
"""

import argparse
import os
import re
import shutil
import sys
import time
from typing import Any

import msgspec

from outrider_collector.lake.dialects import DIALECTS, DUCKDB
from outrider_collector.lake.layout import DAY_MS
from outrider_collector.lake.places import Lake, open_lake
from outrider_collector.lake.queries import BY_NAME, QUERIES, Filter, classes_of
from outrider_collector.lake.reading import Answer, Reading, span_of_day
from outrider_collector.lake.showing import answer_table, timeline, tree_lines
from outrider_collector.lake.tree import tree_of_finding
from outrider_wire.errors import ConfigError
from outrider_wire.timestamps import from_rfc3339

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--lake", metavar="WHERE", help="directory or s3://bucket/prefix (OUTRIDER_COLLECTOR_LAKE)")
    add("--endpoint", default="", metavar="URL", help="another S3 endpoint (OUTRIDER_COLLECTOR_LAKE_ENDPOINT)")
    add("--region", default="", help="the bucket's region (OUTRIDER_COLLECTOR_LAKE_REGION)")
    add("--day", default="", metavar="DAY", help="records of this day, UTC")
    add("--since", default="", metavar="TIME", help="records at or after this time or day")
    add("--until", default="", metavar="TIME", help="records before this time, or through this day")
    add("--task", default="", metavar="ARN", help="of this task: its ARN, which is faster, or its id")
    add("--container", default="", metavar="NAME", help="of this container: name or id")
    add("--pid", type=int, metavar="PID", help="about this process")
    add("--kind", default="", help=f"a class ({', '.join(each.view for each in classes_of(''))}) or an event's name")
    add("--text", default="", help="with this text in their message, in this case")
    add("--limit", type=int, default=1000, metavar="N", help="at most so many rows; the newest where no task is named")
    do = parser.add_mutually_exclusive_group()
    do.add_argument("--timeline", default="", metavar="TASK", help="all that happened in a task, in its order")
    do.add_argument("--tree", default="", metavar="FINDING-ID", help="the processes around a finding")
    do.add_argument("--query", default="", choices=["", *BY_NAME], metavar="NAME", help=_named())
    do.add_argument("--sql", default="", metavar="SELECT", help="one statement over the views named by class")
    add(
        "--show-sql",
        default="",
        choices=["", *DIALECTS],
        metavar="DIALECT",
        help="print the SQL instead: " + ", ".join(DIALECTS),
    )
    add("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    since_ms, until_ms = _span(arguments)
    chosen = Filter(
        since_ms=since_ms,
        until_ms=until_ms,
        task=arguments.timeline or arguments.task,
        container=arguments.container,
        pid=arguments.pid,
        kind=arguments.kind,
        text=arguments.text,
        limit=max(arguments.limit, 0),
        newest=not (arguments.timeline or arguments.task or arguments.query),
    )
    query = BY_NAME[arguments.query or "events"]
    if arguments.show_sql:
        print(query.make(DIALECTS[arguments.show_sql], chosen))
        return 0
    lake = _lake(arguments)
    if arguments.tree:
        _show_tree(lake, arguments, since_ms, until_ms)
        return 0
    reading = Reading(
        lake, since_ms, until_ms, classes=classes_of("" if arguments.sql or arguments.query else chosen.kind)
    )
    try:
        answer = reading.ask(arguments.sql or query.make(DUCKDB, chosen))
    finally:
        reading.close()
    _show(answer, arguments, told=query.name == "events" and not arguments.sql)
    return 0


def _show(answer: Answer, arguments: argparse.Namespace, *, told: bool) -> None:
    if arguments.json:
        _print_json(answer.records())
    elif told:
        print("\n".join(timeline(sorted(answer.records(), key=lambda each: each["at_ns"]))))
    else:
        print(answer_table(answer, width=shutil.get_terminal_size((160, 40)).columns))


def _show_tree(lake: Lake, arguments: argparse.Namespace, since_ms: int, until_ms: int) -> None:
    if not (arguments.day or arguments.since or arguments.until):
        since_ms, until_ms = 0, span_of_day(time.time_ns() // 1_000_000)[1]  # findings are few: look everywhere
    tree = tree_of_finding(lake, arguments.tree, since_ms, until_ms)
    if arguments.json:
        _print_json([tree])
    else:
        print("\n".join(tree_lines(tree)))


def _print_json(records: list[Any]) -> None:
    for record in records:
        sys.stdout.buffer.write(msgspec.json.encode(record, enc_hook=str) + b"\n")
    sys.stdout.buffer.flush()


def _lake(arguments: argparse.Namespace) -> Lake:
    known = os.environ.get
    location = arguments.lake or known("OUTRIDER_COLLECTOR_LAKE", "")
    if not location:
        raise ConfigError("which lake? give --lake WHERE or set OUTRIDER_COLLECTOR_LAKE")
    return open_lake(
        location,
        endpoint=arguments.endpoint or known("OUTRIDER_COLLECTOR_LAKE_ENDPOINT", ""),
        region=arguments.region or known("OUTRIDER_COLLECTOR_LAKE_REGION", ""),
    )


def _span(arguments: argparse.Namespace) -> tuple[int, int]:
    """The time asked for, in milliseconds. Raises ConfigError."""
    if arguments.day and (arguments.since or arguments.until):
        raise ConfigError("--day, or --since and --until; not both")
    since, until = arguments.day or arguments.since, arguments.day or arguments.until
    now_ms = time.time_ns() // 1_000_000
    until_ms = _time_ms(until, end=True) if until else now_ms + DAY_MS
    since_ms = _time_ms(since, end=False) if since else span_of_day(min(until_ms - 1, now_ms))[0]
    if since_ms >= until_ms:
        raise ConfigError("that time is over before it begins")
    return since_ms, until_ms


def _time_ms(text: str, *, end: bool) -> int:
    """A time, or the beginning or end of a day. Raises ConfigError."""
    try:
        if _DAY.fullmatch(text):
            return from_rfc3339(f"{text}T00:00:00Z") // 1_000_000 + (DAY_MS if end else 0)
        return from_rfc3339(text) // 1_000_000
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _named() -> str:
    return "a built-in query: " + "; ".join(f"{each.name}, {each.purpose}" for each in QUERIES)
