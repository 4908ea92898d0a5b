"""Sixty thousand events a second for a minute: accepted, indexed to findings, and in the lake.

`python -m bench.sustained [--json] [--seconds N] [--together]`. A real collector with a lake, whose process is its
child, the senders on a core of their own, batches sealed beforehand. `--together` holds collector and lake to one core;
else the lake may use what the senders leave of theirs, which is nearly all of it. Who cannot keep up is seen by what is
left behind when the last answer has come, and by the processor's time that an event takes in each of the two.
"""

import argparse
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from bench.collector import Sender, collector, processor_s, row, send_together, wait_for_index
from bench.lake import tell
from bench.rows import Row, show
from bench.wire import EVENTS
from outrider_collector.lake.starting import PROGRESS, lake_reached
from outrider_collector.spool import Place

SECONDS: Final = 60.0
EVENTS_PER_S: Final = 60_000
SENDERS: Final = 8
FLUSH_S: Final = 10.0
"""How far files may be behind: the lake writes what it has at least so often."""
PATIENCE_S: Final = 600.0


def teller(number: int, began_ns: int) -> Callable[[int], list[bytes]]:
    """Batches of one task: programs that start, ask for names, connect, write and end."""
    chance = random.Random(number)

    def batch(serial: int) -> list[bytes]:
        told = tell(number, serial, began_ns + serial * 10**9, chance)
        return [msgspec.msgpack.encode(event) for event in told]

    return batch


def child_of(pid: int) -> int:
    """The lake's process."""
    children = [word for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    (child,) = map(int, children)
    return child


def wait_for_lake(data: Path) -> None:
    """Until the lake has what the spool has."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        reached = lake_reached(data / PROGRESS)
        ends = [Place(int(path.stem), path.stat().st_size) for path in (data / "spool").glob("*.spool")]
        if not [end for end in ends if end.offset and end > reached]:
            return
        if time.monotonic() > deadline_s:
            raise RuntimeError("the lake does not come after")
        time.sleep(0.05)


class Watch:
    """How far the index is behind while batches come: its worst, of a look each tenth of a second."""

    def __init__(self, url: str) -> None:
        self._url, self._stop = url, threading.Event()
        self.behind_s = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            began_s = time.monotonic()
            wait_for_index(self._url)
            self.behind_s = max(self.behind_s, time.monotonic() - began_s)


def measure(seconds: float, *, together: bool) -> Iterator[Row]:
    """All of it."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    per_sender = int(EVENTS_PER_S * seconds / EVENTS / SENDERS)
    with tempfile.TemporaryDirectory() as scratch:
        data, lake = Path(scratch) / "data", Path(scratch) / "lake"
        with collector(data, {cores[0]}, lake=str(lake), lake_flush_s=str(FLUSH_S)) as (url, pid):
            began_ns = time.time_ns()
            senders = [Sender(url, per_sender, teller(number, began_ns), findings=1) for number in range(SENDERS)]
            wait_for_index(url)
            child = child_of(pid)
            if not together:
                os.sched_setaffinity(child, set(cores))
            yield from _run(url, data, pid, child, senders, seconds, where="one core" if together else "its own core")


def _run(
    url: str, data: Path, pid: int, child: int, senders: list[Sender], seconds: float, *, where: str
) -> Iterator[Row]:
    events = sum(len(each.requests) for each in senders) * EVENTS
    before_s, lake_before_s, own_s = processor_s(pid), processor_s(child), time.process_time()
    watch = Watch(url)
    took_s = send_together(url, senders, at_least_s=seconds)
    began_s = time.monotonic()
    wait_for_index(url)
    index_s = time.monotonic() - began_s
    watch.close()
    wait_for_lake(data)
    lake_s = time.monotonic() - began_s
    what = f"for {seconds:g} s, collector and lake on one core" if where == "one core" else f"for {seconds:g} s"
    yield row(
        f"events accepted and indexed to findings, {what}", [events / (took_s + index_s)], "1/s", f"{EVENTS_PER_S}"
    )
    yield row("the index behind: at the end, and at most", [index_s, watch.behind_s], "s", "")
    yield row("events in the lake, until its last file was whole", [events / (took_s + lake_s)], "1/s", "")
    yield row("the lake behind the last answer (it writes each 10 s)", [lake_s], "s", f"at most {2 * FLUSH_S:g}")
    yield row("processor, an event: collector", [(processor_s(pid) - before_s) / events * 1e6], "µs", "")
    yield row("processor, an event: lake", [(processor_s(child) - lake_before_s) / events * 1e6], "µs", "12")
    yield row("processor, an event: the senders", [(time.process_time() - own_s) / events * 1e6], "µs", "")


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(prog="bench.sustained", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--together", action="store_true", help="collector and lake on one core")
    arguments = parser.parse_args()
    show(list(measure(arguments.seconds, together=arguments.together)), as_json=arguments.json)


if __name__ == "__main__":
    main()
