"""A storm of programs in the lab, with Falco's stock rules and our own in force: is anything lost, what does it cost?

`python -m bench.storm [--json] [--stock DIR] [--rate N] [--seconds S]`. A real task under runc with sidecar and
collector; a program of the guarded container starts N others a second. Every event is journalled, sent and counted
out of the collector's own spool. The engine's and the tracer's processor time are read from /proc. Needs root.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from bench.rules import STOCK, STOCK_FILES, Row
from outrider_collector.spool import Place, Spool
from outrider_lab.settings import MAIN, ContainerSettings, Mount, guarded_task
from outrider_lab.task import Task
from outrider_wire.batch import peek_header
from outrider_wire.blobs import open_blob
from outrider_wire.events import Event, ProcessExecuted, ProcessId, SightLost

JOBS: Final = Path(__file__).parent / "jobs"
READY_TIMEOUT_S: Final = 20.0
SETTLE_TIMEOUT_S: Final = 120.0
IDLE_CORES: Final = 0.03
ARRIVAL_TIMEOUT_S: Final = 30.0
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")

_decoder = msgspec.msgpack.Decoder(list[Event])


class Arrived(Struct):
    """What the collector has: programs of the storm by process, batches missing, and what was told of as lost."""

    programs: set[ProcessId]
    events: int = 0
    lost: int = 0
    missing: int = 0


def measure(folder: Path, *, rate: int, seconds: float) -> list[Row]:
    """Rows of every figure."""
    settings = guarded_task(ContainerSettings(name=MAIN, mounts=(Mount("/jobs", str(JOBS), read_only=True),)))
    sidecar = settings.sidecar
    assert sidecar is not None
    rules = Mount("/rules", str(folder), read_only=True)
    env = {**sidecar.env, "OUTRIDER_RULES": ",".join(f"/rules/{name}" for name in STOCK_FILES)}
    sidecar = msgspec.structs.replace(sidecar, env=env, mounts=(*sidecar.mounts, rules))
    with Task(msgspec.structs.replace(settings, sidecar=sidecar, ready_timeout_s=READY_TIMEOUT_S)) as task:
        if not task.ready:
            raise RuntimeError(task.log("outrider"))
        engine, others = _processes(task)
        _wait_until_idle(engine)
        before_s, other_before_s = _cpu_s(engine), sum(map(_cpu_s, others))
        began_s = time.monotonic()
        command = ["python3", "-S", "-E", "/jobs/storm.py", str(rate), str(seconds)]
        done = task.run(command, timeout_s=seconds * 6 + 30)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        took_s = time.monotonic() - began_s
        used_s, other_s = _cpu_s(engine) - before_s, sum(map(_cpu_s, others)) - other_before_s
        count, running_s = done.stdout.split()
        arrived = _await(task, int(count))
        rest_s = _cpu_s(engine) - before_s - used_s
    return _rows(int(count), float(running_s), took_s, used_s, other_s, rest_s, arrived)


def _rows(
    count: int, running_s: float, took_s: float, used_s: float, other_s: float, rest_s: float, arrived: Arrived
) -> list[Row]:
    lost = count - len(arrived.programs) + arrived.lost
    return [
        _row("programs started a second in the lab, all rules loaded", round(count / running_s), "a second", "1000"),
        _row("of them not at the collector, or told of as lost", lost, "events", "none"),
        _row("batches missing at the collector", arrived.missing, "batches", "none"),
        _row("events sent a second", round(arrived.events / running_s), "a second", ""),
        _row("the engine's processor time", round(used_s / took_s, 3), "cores", "under 0.5"),
        _row("the same, with all that it did afterwards", round((used_s + rest_s) / took_s, 3), "cores", "under 0.5"),
        _row("the engine's time for one program", round((used_s + rest_s) / count * 1e6), "us", ""),
        _row("tracer and supervisor", round(other_s / took_s, 3), "cores", ""),
    ]


def _row(what: str, value: float, unit: str, target: str) -> Row:
    return {"what": what, "value": value, "unit": unit, "spread": "", "target": target}


def _processes(task: Task) -> tuple[int, list[int]]:
    """The engine (the one with many threads), and the sidecar's other processes."""
    pids = task.sidecar_pids()
    threads = {pid: len(os.listdir(f"/proc/{pid}/task")) for pid in pids}
    engine = max(pids, key=lambda pid: threads[pid])
    return engine, [pid for pid in pids if pid != engine]


def _wait_until_idle(engine: int) -> None:
    """The first look at all files of the container (here: of a whole machine) is not the storm's cost."""
    deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
    before_s = _cpu_s(engine)
    while time.monotonic() < deadline_s:
        time.sleep(1.0)
        now_s = _cpu_s(engine)
        if now_s - before_s < IDLE_CORES:
            return
        before_s = now_s
    raise TimeoutError("the sidecar did not come to rest")


def _cpu_s(pid: int) -> float:
    """Processor time of all threads, dead ones too: fields 14 and 15 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def _await(task: Task, count: int) -> Arrived:
    """Wait until every program is at the collector, or the time is up."""
    deadline_s = time.monotonic() + ARRIVAL_TIMEOUT_S
    while True:
        arrived = _read_spool(task.folder / "collector")
        if len(arrived.programs) >= count or time.monotonic() > deadline_s:
            return arrived
        time.sleep(1.0)


def _read_spool(data: Path) -> Arrived:
    """Count what is in a copy of the collector's spool."""
    arrived = Arrived(set())
    sequences: dict[str, set[int]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for path in data.rglob("*.spool"):
            shutil.copy(path, scratch)
        spool = Spool(Path(scratch))
        for frame in spool.read_from(Place(0, 0)):
            header, _, signed_end = peek_header(frame.data)
            sequences.setdefault(header.agent, set()).add(header.sequence)
            arrived.lost += sum(header.lost.values())
            blob = frame.data[signed_end + header.findings.size :]
            events = _decoder.decode(open_blob(blob, header.events)) if blob else []
            arrived.events += len(events)
            arrived.lost += sum(
                event.lost or 1 for event in events if isinstance(event, SightLost) and not event.standing
            )
            arrived.programs |= {
                event.process for event in events if isinstance(event, ProcessExecuted) and event.comm == "true"
            }
        spool.close()
    arrived.missing = sum(max(numbers) + 1 - len(numbers) for numbers in sequences.values())
    return arrived


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--stock", type=Path, default=STOCK, help="the folder of Falco's three rule files")
    parser.add_argument("--rate", type=int, default=1_000, metavar="N")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S")
    options = parser.parse_args()
    rows = measure(options.stock.resolve(), rate=options.rate, seconds=options.seconds)
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['what']:<60} {row['value']:>9} {row['unit']:<9} {row['target']}")


if __name__ == "__main__":
    main()
