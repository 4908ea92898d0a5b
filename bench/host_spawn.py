"""What starting a program costs in a container of a host that is looked out over, and how much of it is seen.

`python -m bench.host_spawn [--json] [--rounds N] [--rate N] [--seconds S] [--bare]`. A program in a cgroup and a mount
namespace as ECS makes them starts /bin/true again and again, with the lookout over it and without, in turns; the figure
is the median ratio of the pairs. Then it starts so many a second, and what was seen of them is counted. The file watch
stands as well, unless `--bare`: it tells which program it was where nothing else does any more. Needs root.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgpack
from msgspec import Struct
from msgspec.msgpack import decode

from bench.guarding import Row, ratio_row, show
from outrider_lab.enclosure import Enclosure, own_cgroup
from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux import prctl
from outrider_sidecar.sensors.attach import make_event_pipe
from outrider_sidecar.sensors.host import LookoutOptions, run_lookout
from outrider_sidecar.sensors.host.marks import FileMarks

JOBS: Final = Path(__file__).parent / "jobs"
SPAWNS: Final = 3000
"""In each run: in the first tenth of a second of a storm, while a container starts, the lookout may be in haste."""
READY_S: Final = 10.0
PYTHON: Final = (str(Path(sys.executable).resolve()), "-S", "-E")
OWN_EXECS: Final = 1
"""Of a job itself: the interpreter."""

Guarding = Callable[[int], "Guard"]
"""Starts a guard over the container in a mount namespace."""


class Told(Struct):
    """As much of an event as is counted."""

    event: str
    sense: str = ""
    mnt_ns: int = 0
    missing: tuple[str, ...] = ()
    exe: dict[str, object] = {}


class Guard:
    """A lookout, and a process that reads its events about as an engine does and counts those of one container."""

    def __init__(self, mnt_ns: int, options: LookoutOptions) -> None:
        self.heartbeat = Heartbeat()
        read_fd, write_fd = make_event_pipe()
        counted_fd, count_fd = os.pipe()
        self.pid = _fork(lambda: run_lookout(options, write_fd, self.heartbeat), read_fd, counted_fd)
        os.close(write_fd)
        self._reader = _fork(lambda: _count_events(read_fd, count_fd, mnt_ns), counted_fd)
        os.close(read_fd)
        os.close(count_fd)
        self._counted_fd = counted_fd
        deadline_s = time.monotonic() + READY_S
        while not self.heartbeat[Slot.TRACER_READY]:
            if time.monotonic() > deadline_s:
                raise TimeoutError("the lookout did not get ready")
            time.sleep(0.002)

    def end(self) -> dict[str, int]:
        """Stop; how many events of each kind came, and how much the execs told."""
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        with os.fdopen(self._counted_fd) as file:
            counts: dict[str, int] = json.loads(file.read())
        os.waitpid(self._reader, 0)
        return counts


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


def _count_events(read_fd: int, count_fd: int, mnt_ns: int) -> None:
    stream = msgpack.Unpacker(max_buffer_size=0)
    counts: dict[str, int] = {}
    while data := os.read(read_fd, 1 << 20):
        stream.feed(data)
        for record in stream:
            for name in _names(decode(record, type=Told), mnt_ns):
                counts[name] = counts.get(name, 0) + 1
        time.sleep(0.01)
    os.write(count_fd, json.dumps(counts).encode())


def _names(told: Told, mnt_ns: int) -> Iterator[str]:
    if told.event == "SightLost" and told.sense == "process":
        yield "lost"
    elif told.mnt_ns == mnt_ns and told.event == "ProcessExecuted":
        if not told.exe.get("path"):
            yield "poor"
        elif set(told.missing) - {"sockets", "cgroup", "script"}:
            yield "completed"
        else:
            yield "whole"


@contextmanager
def _enclosed() -> Iterator[Enclosure]:
    scratch = Path(tempfile.mkdtemp(prefix="outrider-bench-"))
    try:
        with own_cgroup(f"outrider-bench-{os.getpid()}") as top:
            enclosure = Enclosure(top, 1, scratch)
            try:
                yield enclosure
            finally:
                enclosure.remove()
    finally:
        shutil.rmtree(scratch)


def _run_job(enclosure: Enclosure, name: str, *arguments: object) -> tuple[list[str], Callable[[], list[str]]]:
    """Start a job of `bench/jobs`: the words it said first, and what makes it go and gives the words it ends with."""
    given, to_give = os.pipe()
    said, to_say = os.pipe()
    pid = enclosure.spawn(*PYTHON, str(JOBS / name), *map(str, arguments), stdin=given, stdout=to_say)
    for fd in (given, to_say):
        os.close(fd)
    output = os.fdopen(said)
    first = output.readline().split()

    def go() -> list[str]:
        os.write(to_give, b"go\n")
        words = output.readline().split()
        output.close()
        os.close(to_give)
        if enclosure.wait(pid):
            raise RuntimeError(f"{name} failed")
        return words

    return first, go


def _spawn(enclosure: Enclosure, count: int) -> float:
    """Seconds for so many."""
    _, go = _run_job(enclosure, "spawn.py", count)
    return float(go()[0])


def measure(*, rounds: int, rate: int, seconds: float, files: bool = True) -> list[Row]:
    """Rows of every figure; `files` says whether the file watch stands, too."""
    options = LookoutOptions(marks=FileMarks if files else None)

    def guard_over(mnt_ns: int) -> Guard:
        return Guard(mnt_ns, options)

    with _enclosed() as enclosure:
        rows = _measure_cost(enclosure, guard_over, rounds)
        return rows + _measure_sight(enclosure, guard_over, rate, seconds)


def _measure_cost(enclosure: Enclosure, guard_over: Guarding, rounds: int) -> list[Row]:
    free, guarded, again, missed, count = [], [], [], 0, SPAWNS
    _spawn(enclosure, count)  # warm caches
    for _ in range(rounds):
        free.append(_spawn(enclosure, count))
        guard = guard_over(enclosure.mnt_ns)
        guarded.append(_spawn(enclosure, count))
        counts = guard.end()
        again.append(_spawn(enclosure, count))
        missed += count - (_seen(counts) - OWN_EXECS)
    return [
        ratio_row("spawn in a container under the lookout", guarded, free, 1.05),
        ratio_row("spawn in a container, twice without guard (the noise)", again, free, None),
        _row("spawns missed", missed, "events", 0),
        _row("spawn in a container without guard", round(statistics.median(free) / count * 1e6, 1), "us", None),
    ]


def _measure_sight(enclosure: Enclosure, guard_over: Guarding, rate: int, seconds: float) -> list[Row]:
    guard = guard_over(enclosure.mnt_ns)
    used_s, began_s = _cpu_s(guard.pid), time.monotonic()
    (count,), running_s = _storm(enclosure, rate, seconds)
    cores = (_cpu_s(guard.pid) - used_s) / (time.monotonic() - began_s)
    counts = guard.end()
    seen = _seen(counts)
    wanted = int(count) + OWN_EXECS
    rows = [
        _row("programs started a second", round(int(count) / running_s), "a second", rate),
        _row("of them missed", wanted - seen, "events", 0),
        _row("losses told", counts.get("lost", 0), "events", 0),
        _row("the lookout's processor time", round(cores, 3), "cores", None),
    ]
    for grade in ("whole", "completed", "poor"):
        rows.append(_row(f"execs {grade}", round(counts.get(grade, 0) / max(seen, 1), 4), "of 1", None))
    return rows


def _storm(enclosure: Enclosure, rate: int, seconds: float) -> tuple[list[str], float]:
    pid_out, to_say = os.pipe()
    pid = enclosure.spawn(*PYTHON, str(JOBS / "storm.py"), str(rate), str(seconds), stdout=to_say)
    os.close(to_say)
    with os.fdopen(pid_out) as output:
        count, running_s = output.read().split()
    if enclosure.wait(pid):
        raise RuntimeError("storm.py failed")
    return [count], float(running_s)


def _seen(counts: dict[str, int]) -> int:
    return sum(counts.get(grade, 0) for grade in ("whole", "completed", "poor"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _row(what: str, value: float, unit: str, target: float | None) -> Row:
    return {"what": what, "value": value, "unit": unit, "spread": [], "target": target}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--bare", action="store_true")
    options = parser.parse_args()
    rows = measure(rounds=options.rounds, rate=options.rate, seconds=options.seconds, files=not options.bare)
    show(rows, as_json=options.json)


if __name__ == "__main__":
    main()
