"""What the sidecar takes while its task rests: memory of all its processes, and processor time.

`python -m bench.footprint [--json]`. A lab task, once on the machine's own root (a large image) and once with as many
watched directories as a Debian image has. Memory is PSS: a page that processes share counts once. The collector is
told that all is well as often as by default, not each second as the lab has it.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

from msgspec.structs import replace

from bench.rows import Row, show
from outrider_lab.settings import guarded_task
from outrider_lab.task import Task
from outrider_sidecar.settings import Settings

SETTLED_PERCENT = 3.0
SETTLE_LIMIT_S = 60.0
WINDOWS, WINDOW_S = 5, 6.0
IMAGE_DIRECTORIES = "700"


def pss_mib(pids: list[int]) -> float:
    """Proportional set size of these processes together."""
    return sum(_rollup(pid, "Pss") for pid in pids) / 1024


def _rollup(pid: int, name: str) -> int:
    """A line of /proc/PID/smaps_rollup, in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def cpu_ns(pids: list[int]) -> int:
    """Processor time of all threads so far (schedstat counts nanoseconds; /proc/PID/stat only whole ticks)."""
    tasks = [f"/proc/{pid}/task/{tid}/schedstat" for pid in pids for tid in os.listdir(f"/proc/{pid}/task")]
    return sum(int(Path(task).read_text().split()[0]) for task in tasks)


def idle_percent(pids: list[int], seconds: float) -> float:
    """Share of one core that they took during these seconds."""
    before, began = cpu_ns(pids), time.monotonic()
    time.sleep(seconds)
    return (cpu_ns(pids) - before) / 1e7 / (time.monotonic() - began)


def measure_task(name: str, environment: dict[str, str], memory_target: float | None) -> list[Row]:
    """Rows of one task at rest."""
    settings = guarded_task()
    assert settings.sidecar is not None
    settings = replace(settings, sidecar=replace(settings.sidecar, env=environment), heartbeat_s=Settings().heartbeat_s)
    with Task(settings) as task:
        deadline = time.monotonic() + SETTLE_LIMIT_S
        while idle_percent(task.sidecar_pids(), 2.0) > SETTLED_PERCENT and time.monotonic() < deadline:
            pass  # the file watch lists the task's directories first
        pids = task.sidecar_pids()
        shares, sizes = [], []
        for _ in range(WINDOWS):
            shares.append(idle_percent(pids, WINDOW_S))
            sizes.append(pss_mib(pids))
    return [
        rest_row(f"PSS of all sidecar processes, idle, {name}", sizes, "MiB", memory_target),
        rest_row(f"processor time, idle, {name}", shares, "% of a core", 1.0),
    ]


def rest_row(what: str, values: list[float], unit: str, target: float | None) -> Row:
    """The median of some windows, and how far they lay apart."""
    spread = [round(min(values), 2), round(max(values), 2)]
    return {
        "what": what,
        "value": round(statistics.median(values), 2),
        "unit": unit,
        "spread": spread,
        "target": target,
    }


def measure() -> list[Row]:
    """All rows."""
    return [
        *measure_task("directories of an ordinary image", {"OUTRIDER_FILE_WATCH_LIMIT": IMAGE_DIRECTORIES}, 40.0),
        *measure_task("directories of this whole machine", {}, 40.0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    show(measure(), as_json=parser.parse_args().json)


if __name__ == "__main__":
    main()
