"""What making files costs under a host's file watch: 20,000 files in one container, watched by fanotify and free.

`python -m bench.host_files [--json]`. Free and guarded runs take turns; the figure is the median ratio of the pairs.
The watch is FileMarks in a process of its own, as the lookout has it, with every event encoded.
"""

import argparse
import gc
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from msgspec.msgpack import decode, encode

from bench.guarding import Row, ratio_row, show
from outrider_sidecar.sensors.host.marks import FileMarks
from outrider_wire.events import Event, FileChanged, FilesWatched, ProcessId, SightLost

JOB = Path(__file__).parent / "jobs" / "host_files.py"
FILES = 20_000
SETTLE_S = 60.0


class Job:
    """The container."""

    def __init__(self, base: str) -> None:
        command = [sys.executable, "-S", str(JOB), base]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = int(self._line())
        self.mnt_ns = os.stat(f"/proc/{self.pid}/ns/mnt").st_ino

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def run(self, count: int) -> tuple[float, float]:
        """How many seconds so many files took, and of processor time; they are deleted by then."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        took_s, took_cpu_s = map(float, self._line().split())
        self._line()
        return took_s, took_cpu_s

    def end(self) -> None:
        self.process.communicate()


class Watched:
    """The file watch over one container, in a process of its own; `end` tells what was told and what was lost."""

    def __init__(self, job: Job) -> None:
        self._out, into = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._out)
            _watch(job, into)
        os.close(into)
        assert os.read(self._out, 1) == b"+", "the container is not watched"

    def end(self) -> tuple[dict[str, int], int, float]:
        """Counts of changes, events lost, and seconds of processor time."""
        os.kill(self._pid, signal.SIGTERM)
        with os.fdopen(self._out, "rb") as out:
            told: tuple[dict[str, int], int] = decode(out.read())
        _, _, usage = os.wait4(self._pid, 0)
        return told[0], told[1], usage.ru_utime + usage.ru_stime


def _watch(job: Job, into: int) -> None:
    """Watch until a signal, then until there is nothing left."""
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    counts: Counter[str] = Counter()
    lost = 0

    def emit(event: Event) -> None:
        nonlocal lost
        encode(event)
        if isinstance(event, FileChanged):
            counts[event.change] += 1
        elif isinstance(event, FilesWatched) and event.sensor:
            os.write(into, b"+")
        elif isinstance(event, SightLost):
            lost += event.lost if event.lost is not None else 1

    inside = {job.pid: ProcessId(job.pid, 1)}
    gc.freeze()
    gc.disable()  # as the lookout does
    marks = FileMarks()
    marks.open(inside.get)
    marks.add_container(job.mnt_ns, job.pid, time.time_ns())
    poller = select.poll()
    for fd in marks.filenos():
        poller.register(fd, select.POLLIN)
    while poller.poll(100) or not stopped:
        marks.drain(emit)
    os.write(into, encode((counts, lost)))
    os._exit(0)


def measure(*, files: int = FILES, rounds: int = 8) -> list[Row]:
    """Rows of every figure of making files."""
    with tempfile.TemporaryDirectory() as base:
        job = Job(base)
        try:
            return _measure(job, files, rounds)
        finally:
            job.end()


def _measure(job: Job, files: int, rounds: int) -> list[Row]:
    free, guarded, cpu, lost, missed = [], [], [], 0, 0
    job.run(files)  # warm caches
    for _ in range(rounds):
        free.append(job.run(files))
        watched = Watched(job)
        guarded.append(job.run(files))
        counts, lost_now, cpu_s = watched.end()
        cpu.append(cpu_s)
        lost += lost_now
        missed += abs(files + 1 - counts.get("created", 0)) + abs(files + 1 - counts.get("deleted", 0))
    spread = [round(min(cpu) / files * 1e6, 1), round(max(cpu) / files * 1e6, 1)]
    return [
        ratio_row(f"{files} files made in a container, under guard", *_column(0, guarded, free), 1.15),
        ratio_row("the same, processor time of the program itself", *_column(1, guarded, free), None),
        {"what": "creations and deletions not told", "value": missed, "unit": "events", "spread": [], "target": 0},
        {"what": "events let go and counted", "value": lost, "unit": "events", "spread": [], "target": None},
        {
            "what": "processor time of the watch, for a file made, written and deleted",
            "value": round(sorted(cpu)[len(cpu) // 2] / files * 1e6, 1),
            "unit": "us",
            "spread": spread,
            "target": None,
        },
    ]


def _column(number: int, *runs: list[tuple[float, float]]) -> list[list[float]]:
    return [[run[number] for run in series] for series in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    show(measure(rounds=options.rounds), as_json=options.json)


if __name__ == "__main__":
    main()
