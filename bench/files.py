"""What the file watch costs: its first scan, and each event. Run as `python -m bench.files [--json]`.

The scan is of this machine's own root, read only. Events are made in a new directory below /tmp.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from outrider_sidecar.sensors.files import FileSensor
from outrider_wire.events import Event

ROUNDS = 3
FILES = 4_000
FIRST_PLACES = "/tmp"


def figure(what: str, values: list[float], unit: str, target: str) -> dict[str, Any]:
    """One line of the result: the median, and half of the range as spread."""
    spread = (max(values) - min(values)) / 2
    return {
        "what": what,
        "value": round(statistics.median(values), 2),
        "unit": unit,
        "spread": round(spread, 2),
        "target": target,
    }


class Run:
    """One sensor on this machine's own root; times are seconds."""

    def __init__(self, baseline_ns: int = 0) -> None:
        self.sensor = FileSensor()
        self.count = 0
        self.cpu_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        began = time.perf_counter()
        own_ns = os.stat("/proc/self/ns/mnt").st_ino
        self.sensor.add_root(own_ns, os.getpid(), baseline_ns=baseline_ns)
        wait(lambda: self.sensor.sight(own_ns, FIRST_PLACES) is not None or not baseline_ns)
        self.first_s = time.perf_counter() - began
        wait(self.sensor.settled)
        self.scan_s = time.perf_counter() - began

    def _work(self) -> None:
        self.sensor.run(self._emit, self._stop)
        self.cpu_s = time.thread_time()

    def _emit(self, _: Event) -> None:
        self.count += 1

    def close(self) -> None:
        self._stop.set()
        self.sensor.wake()
        self._thread.join()
        self.sensor.close()


def wait(condition: Callable[[], bool]) -> None:
    """Poll a condition until it holds."""
    while not condition():
        time.sleep(0.001)


def measure_scan() -> list[dict[str, Any]]:
    """The first scan, by directory."""
    per_directory, first, sizes = [], [], []
    for _ in range(ROUNDS):
        run = Run(baseline_ns=time.time_ns())
        sizes.append(float(run.sensor.directories))
        per_directory.append(run.scan_s / run.sensor.directories * 1e6)
        first.append(run.first_s * 1e3)
        run.close()
    return [
        figure("first scan, directories watched", sizes, "directories", ""),
        figure("first scan with file inspection, each directory", per_directory, "µs", "at most 300"),
        figure("scratch places under watch after", first, "ms", "at most 100"),
    ]


def measure_events() -> list[dict[str, Any]]:
    """CPU of the sensor's thread for each file that is made, written and closed, less that of an idle run."""
    costs, events = [], []
    for _ in range(ROUNDS):
        idle = Run()
        idle.close()
        run = Run()
        before = run.count
        directory = Path(tempfile.mkdtemp(dir="/tmp"))
        for count in range(FILES):
            (directory / str(count)).write_bytes(b"\x7fELF")
        wait(run.sensor.caught_up)
        wait(run.sensor.settled)
        made = run.count - before
        run.close()
        shutil.rmtree(directory)
        costs.append((run.cpu_s - idle.cpu_s) / FILES * 1e6)
        events.append(made / FILES)
    return [
        figure("sensor CPU for each file made, written and closed", costs, "µs", "at most 200"),
        figure("events told for each of them", events, "events", "at most 2"),
    ]


def main() -> None:
    """Print the figures, as JSON lines of one list or as a table."""
    parser = argparse.ArgumentParser(description="costs of the file watch")
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    figures = [*measure_scan(), *measure_events()]
    if as_json:
        print(json.dumps(figures, ensure_ascii=False, indent=1))
        return
    for line in figures:
        print(f"{line['what']:<55} {line['value']:>10} ± {line['spread']} {line['unit']}  {line['target']}")


if __name__ == "__main__":
    main()
