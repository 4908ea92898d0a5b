"""The event lake: what it costs to write, and how long a task's day takes in a lake of ten million events.

The lake is made by the real writer from real batches in a spool: many tasks telling side by side over several days, as
it would come about. What is timed of reading is all of it: finding the files, opening them, asking, fetching.
"""

import argparse
import gc
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa

from outrider_collector.lake.dialects import DUCKDB
from outrider_collector.lake.layout import DAY_MS
from outrider_collector.lake.places import LocalLake
from outrider_collector.lake.queries import Filter, make_events
from outrider_collector.lake.reading import Reading, span_of_day
from outrider_collector.lake.record import Record
from outrider_collector.lake.writer import LakeWriter, Limits
from outrider_collector.spool import Frame, Place
from outrider_wire.batch import BatchFacts, seal_batch
from outrider_wire.events import (
    ConnectionOpened,
    ContainerSeen,
    Event,
    FileChanged,
    FileFacts,
    NameQueried,
    ProcessExecuted,
    ProcessExited,
    ProcessId,
    ProcessStarted,
)
from outrider_wire.findings import TaskView
from outrider_wire.signing import SigningKey

EVENTS = 10_000_000
DAYS = 5
TASKS = 200
BATCH = 500
NS = 7
ASKED = 15
HEADER_BYTES = 16


def task_arn(number: int) -> str:
    """A task's ARN."""
    return f"arn:aws:ecs:eu-west-1:123456789012:task/prod/{number:032x}"


def tell(number: int, serial: int, at_ns: int, chance: random.Random) -> list[Event]:
    """A batch's events: programs that start, write, connect and end."""
    arn = task_arn(number)
    told: list[Event] = [ContainerSeen(at_ns, NS, f"{number:064x}", "app", "repo/shop:1.2", arn, "prod", "shop", "7")]
    index = 0
    while len(told) < BATCH:
        at, index = at_ns + index * 10**6, index + 1
        process = ProcessId(1000 + index, serial * 1000 + index)
        exe = FileFacts(f"/usr/bin/tool{chance.randrange(40)}", 1, 2, 0o100755, 90_000, at_ns, at_ns)
        argv = (exe.path, "--url", f"https://h{chance.randrange(500)}.example/{chance.randrange(10**6)}")
        address = f"10.0.{chance.randrange(20)}.{chance.randrange(250)}"
        written = FileFacts(f"/tmp/out{chance.randrange(10**6)}", 1, index, 0o100644, 10, at, at)
        told += [
            ProcessStarted(at, process, ProcessId(1, 1), "exec", NS),
            ProcessExecuted(
                at, process, ProcessId(1, 1), comm="tool", exe=exe, argv=argv, cwd="/app", uid=0, mnt_ns=NS
            ),
            NameQueried(at, f"h{chance.randrange(500)}.example", "A", owner=process, attribution="exact", mnt_ns=NS),
            ConnectionOpened(at, "10.0.0.1", 4000, address, 443, "outbound", owner=process, mnt_ns=NS, net_ns=9),
            FileChanged(at, "written", written, NS, "other", process, "exact"),
            ProcessExited(at, process, 0),
        ]
    return told[:BATCH]


def frames(events: int, start_ns: int, *, tasks: int = TASKS, days: int = DAYS) -> Iterator[Frame]:
    """Batches in the order they would come: each task in turn, over the days."""
    chance = random.Random(1)
    keys = [SigningKey.generate() for _ in range(tasks)]
    batches, offset = events // BATCH, 0
    step_ns = days * DAY_MS * 10**6 // batches
    for serial in range(batches):
        number, at_ns = serial % tasks, start_ns + serial * step_ns
        sealed = seal_batch(
            keys[number],
            BatchFacts(interval_s=5.0, task=TaskView(task_arn(number), "prod", "shop", "7"), software="0.1.0"),
            sequence=serial // tasks,
            previous=bytes(32),
            sealed_at_ns=at_ns,
            events=[msgspec.msgpack.encode(event) for event in tell(number, serial, at_ns, chance)],
        )
        end = offset + HEADER_BYTES + len(sealed.data)
        yield Frame(Place(1, offset), Place(1, end), at_ns, sealed.data)
        offset = end


def make_lake(directory: Path, events: int, start_ns: int) -> float:
    """Write such a lake; the processor's time for each event, in microseconds, without that of making batches."""
    pa.set_memory_pool(pa.system_memory_pool())
    gc.disable()  # as the lake's own process does
    writer = LakeWriter(LocalLake(directory), "bench", Record(), limits=Limits(500_000, 128 << 20, 1e9))
    spent_s = 0.0
    for frame in frames(events, start_ns):
        began_s = time.process_time()
        writer.take(frame)
        if writer.is_due():
            writer.flush()
            gc.collect()
        spent_s += time.process_time() - began_s
    began_s = time.process_time()
    writer.flush()
    return (spent_s + time.process_time() - began_s) / events * 1e6


def time_timelines(directory: Path, start_ms: int, *, threads: int = 0) -> list[float]:
    """How long the timelines of some tasks, each within a day of its own, take: in milliseconds."""
    chance, taken = random.Random(2), []
    for _ in range(ASKED):
        since_ms, until_ms = span_of_day(start_ms + chance.randrange(DAYS) * DAY_MS)
        chosen = Filter(since_ms=since_ms, until_ms=until_ms, task=task_arn(chance.randrange(TASKS)))
        began_s = time.perf_counter()
        reading = Reading(LocalLake(directory), since_ms, until_ms, threads=threads)
        rows = reading.ask(make_events(DUCKDB, chosen)).rows
        taken.append((time.perf_counter() - began_s) * 1000)
        reading.close()
        if len(rows) != chosen.limit:
            raise RuntimeError(f"a timeline of {len(rows)} events")
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.lake")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    parser.add_argument("--events", type=int, default=EVENTS, help="how many events the lake has")
    parser.add_argument("--keep", type=Path, help="where to make it, or where it was made")
    arguments = parser.parse_args()
    start_ms = span_of_day(1_790_000_000_000)[0]
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.keep or Path(scratch) / "lake"
        if not (directory / "ext").exists():
            cost_us = make_lake(directory, arguments.events, start_ms * 10**6)
            rows.append({"what": "an event from the spool into the lake", "value": round(cost_us, 1),
                         "unit": "µs of a core", "spread": "", "target": "12"})  # fmt: skip
        files = list(directory.glob("ext/**/*.parquet"))
        size = sum(path.stat().st_size for path in files)
        rows.append({"what": "the lake's size for each event", "value": round(size / arguments.events, 1),
                     "unit": "bytes", "spread": f"{len(files)} files", "target": ""})  # fmt: skip
        taken = time_timelines(directory, start_ms)
        rows.append({"what": f"timeline of one task within a day, of {arguments.events:,} events in {DAYS} days",
                     "value": round(statistics.median(taken)), "unit": "ms",
                     "spread": [round(min(taken)), round(max(taken))], "target": "300"})  # fmt: skip
    for row in rows:
        print(json.dumps(row) if arguments.json else f"{row['what']}: {row['value']} {row['unit']} ({row['spread']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
