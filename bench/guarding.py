"""What the process benches share: a real tracer over one process tree, a reader of its pipe, and interleaved runs.

Absolute times on a shared machine mean little. Every figure here is a ratio of runs that took turns.
"""

import json
import os
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgpack
from msgspec import Struct
from msgspec.msgpack import decode

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux import prctl
from outrider_sidecar.sensors.attach import TracerOptions, TreeScope, make_event_pipe, run_tracer

Row = dict[str, object]
READY_S = 10.0


class Kind(Struct):
    """As much of an event as is counted; what an engine makes of the rest is not the tracer's cost."""

    event: str


class Guard:
    """A tracer that holds one process tree, and a process that reads its events about as an engine does."""

    def __init__(self, root_pid: int) -> None:
        self.heartbeat = Heartbeat()
        read_fd, write_fd = make_event_pipe()
        counted_fd, self._count_fd = os.pipe()
        options = TracerOptions(scope=TreeScope(root_pid))
        self._tracer = _fork(lambda: run_tracer(options, write_fd, self.heartbeat), read_fd, counted_fd)
        os.close(write_fd)
        self._reader = _fork(lambda: _read_events(read_fd, self._count_fd), counted_fd)
        os.close(read_fd)
        os.close(self._count_fd)
        self._counted_fd = counted_fd
        self.events: dict[str, int] = {}
        deadline = time.monotonic() + READY_S
        while not self.heartbeat[Slot.TRACER_READY]:
            if time.monotonic() > deadline:
                raise TimeoutError("the tracer did not get ready")
            time.sleep(0.002)

    def end(self) -> dict[str, int]:
        """Let everybody go; how many events of each kind came."""
        os.kill(self._tracer, signal.SIGTERM)
        os.waitpid(self._tracer, 0)
        with os.fdopen(self._counted_fd) as file:
            self.events = json.loads(file.read())
        os.waitpid(self._reader, 0)
        return self.events


def _fork(run: Callable[[], object], *close: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        prctl.set_parent_death_signal(signal.SIGKILL)
        for fd in close:
            os.close(fd)
        run()
    finally:
        os._exit(0)


def _read_events(read_fd: int, count_fd: int) -> None:
    stream = msgpack.Unpacker(max_buffer_size=0)
    counts: dict[str, int] = {}
    while data := os.read(read_fd, 1 << 20):
        stream.feed(data)
        for record in stream:
            name = decode(record, type=Kind).event
            counts[name] = counts.get(name, 0) + 1
        select.select((), (), (), 0.01)
    os.write(count_fd, json.dumps(counts).encode())


class Job:
    """A program that waits for a line, works, and prints the seconds it took."""

    def __init__(self, script: Path, *arguments: object, wrap: Sequence[str] = ()) -> None:
        command = [*wrap, sys.executable, "-S", "-E", str(script), *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.pid = int(self._process.stdout.readline())

    def run(self) -> float:
        answer, _ = self._process.communicate("go\n")
        if self._process.returncode:
            raise RuntimeError(f"job failed with {self._process.returncode}")
        return float(answer)


def run_free(script: Path, *arguments: object, wrap: Sequence[str] = ()) -> float:
    """Seconds of a run without guard, or under the tracer named by `wrap`."""
    return Job(script, *arguments, wrap=wrap).run()


def run_guarded(script: Path, *arguments: object) -> tuple[float, dict[str, int]]:
    """Seconds of a run under guard, and the events it made."""
    job = Job(script, *arguments)
    guard = Guard(job.pid)
    try:
        return job.run(), guard.end()
    finally:
        if not guard.events:
            guard.end()


def ratio_row(what: str, guarded: Sequence[float], free: Sequence[float], target: float) -> Row:
    """The ratio of two interleaved series: median of the pairs, and the spread between their quartiles."""
    pairs = sorted(one / other for one, other in zip(guarded, free, strict=True))
    quarters = statistics.quantiles(pairs, n=4) if len(pairs) > 1 else [pairs[0]] * 3
    return {
        "what": what,
        "value": round(statistics.median(pairs), 3),
        "unit": "ratio",
        "spread": [round(quarters[0], 3), round(quarters[2], 3)],
        "best": round(min(guarded) / min(free), 3),
        "target": target,
    }


@contextmanager
def on_cpus(cpus: set[int] | None) -> Iterator[None]:
    """Run the body, and everything it starts, on these processors only."""
    before = os.sched_getaffinity(0)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def show(rows: Sequence[Row], *, as_json: bool) -> None:
    """Print rows: one JSON object a line, or for people."""
    for row in rows:
        if as_json:
            print(json.dumps(row))
        else:
            print(f"{row['what']:<60} {row['value']:>9} {row['unit']:<6} spread {row['spread']} target {row['target']}")
