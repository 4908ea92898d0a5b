"""What rules cost: loading Falco's stock files, and one event against every armed rule, stock and own.

`python -m bench.rules [--json] [--stock DIR]`. The real catalogue, the real world (a server's processes, with
ancestors), no kernel. Each figure is the median of many; `engine` is the whole way of an exec through the engine.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from outrider_rules import RuleSet, RuleSource, load_rules
from outrider_sidecar.fields.catalogue import CATALOGUE
from outrider_sidecar.rehearsal.stage import Stage
from outrider_sidecar.rulebook import builtin_sources
from outrider_sidecar.world.kinds import event_type
from outrider_wire.events import (
    ConnectionOpened,
    Descriptor,
    Event,
    FileChanged,
    FileFacts,
    ProcessExecuted,
    ProcessExited,
    ProcessId,
    ProcessStarted,
)

Row = dict[str, object]

STOCK: Final = Path(os.environ.get("OUTRIDER_FALCO_RULES") or Path(__file__).parents[2] / "shared/corpora/falco-rules")
STOCK_FILES: Final = ("falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")
BORN_NS: Final = 1_000_000_000_000
MS: Final = 1_000_000
ROUNDS: Final = 3_000
CGROUP: Final = "0::/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890"


def stock_sources(folder: Path) -> list[RuleSource]:
    """Falco's three files. Raises OSError where they are not there."""
    return [RuleSource(name, (folder / name).read_bytes()) for name in STOCK_FILES]


def measure(folder: Path) -> list[Row]:
    """Rows of every figure."""
    sources = stock_sources(folder)
    took_s = [_timed(lambda: load_rules(sources, CATALOGUE).prepare(_types())) for _ in range(5)]
    rules = load_rules([*builtin_sources(), *sources], CATALOGUE)
    rules.prepare(_types())
    armed = sum(rule.armed for rule in rules.rules)
    rows = [_row("stock files: parse and compile all 93", took_s, 1.0, "s")]
    stage = _server(rules)
    for what, make, target in (
        ("exec", executed, 60.0),
        ("connection", connected, 40.0),
        ("file event", changed, 40.0),
    ):
        rows.append(_row(f"one {what} against {armed} armed rules", _judge(stage, rules, make), target, "us"))
    rows.append(_row("engine: a program's start, exec and end, judged", _whole_life(stage), None, "us"))
    return rows


def _types() -> list[str]:
    return sorted({event_type(event) for event in (executed(1), connected(1), changed(1))})


def _server(rules: RuleSet) -> Stage:
    """A container with a web server, a worker, a shell and some hundred other processes."""
    stage = Stage(rules, baseline_ns=BORN_NS, watched=("/usr/bin", "/usr/sbin", "/bin"))
    line = [(1, None, "/usr/bin/tini"), (10, 1, "/usr/sbin/nginx"), (11, 10, "/usr/sbin/nginx"), (12, 11, "/bin/bash")]
    for pid, parent, path in [*line, *((100 + n, 1, "/usr/bin/node") for n in range(100))]:
        stage.handle(_ran(pid, parent, path, 1))
    stage.settle()
    return stage


def _ran(pid: int, parent: int | None, path: str, at_ms: float, *argv: str) -> ProcessExecuted:
    return ProcessExecuted(
        at_ns=BORN_NS + int(at_ms * MS),
        process=ProcessId(pid, pid),
        parent=ProcessId(parent, parent) if parent else None,
        comm=path.rpartition("/")[2][:15],
        exe=FileFacts(path, dev=1, ino=len(path), mode=0o100755, size=9, mtime_ns=BORN_NS - 1, ctime_ns=BORN_NS - 1),
        argv=argv or (path,),
        env={"PATH": "/usr/bin:/bin", "HOME": "/root"},
        cwd="/srv/app",
        uid=0,
        euid=0,
        gid=0,
        egid=0,
        stdio=tuple(Descriptor(fd, "/dev/null", 5, 1, "rw") for fd in range(3)),
        mnt_ns=7,
        cgroup=CGROUP if pid == 1 else "",
        sensor="attach",
    )


def executed(number: int) -> ProcessExecuted:
    """An exec of an ordinary program by the shell, each by another process."""
    argv = ("curl", "-sSf", "-o", f"/srv/app/{number}.json", f"https://api.example.org/v1/items/{number}")
    return _ran(1_000 + number, 12, "/usr/bin/curl", 100 + number, *argv)


def connected(number: int) -> ConnectionOpened:
    """A connection of the web server's worker to somewhere."""
    return ConnectionOpened(
        at_ns=BORN_NS + (100 + number) * MS,
        source="10.0.0.5",
        source_port=32_768 + number % 20_000,
        destination=f"93.184.{number % 251}.{number % 241}",
        destination_port=443,
        direction="outbound",
        owner=ProcessId(11, 11),
        attribution="exact",
    )


def changed(number: int) -> FileChanged:
    """A file that the worker wrote."""
    path = f"/srv/app/cache/{number % 64:02x}/{number}"
    return FileChanged(
        at_ns=BORN_NS + (100 + number) * MS,
        change="written",
        file=FileFacts(path, dev=1, ino=number, mode=0o100644, size=9, mtime_ns=BORN_NS, ctime_ns=BORN_NS),
        mnt_ns=7,
        kind="other",
        actor=ProcessId(11, 11),
        attribution="inferred",
    )


def _judge(stage: Stage, rules: RuleSet, make: Callable[[int], Event]) -> list[float]:
    """Seconds of making the context and meeting all rules, for each of many events."""
    took_s = []
    for number in range(ROUNDS):
        event = make(number)
        stage.world.apply(event)
        start = time.perf_counter()
        rules.evaluate(event_type(event), stage.context(event))
        took_s.append(time.perf_counter() - start)
        if isinstance(event, ProcessExecuted):
            stage.world.apply(ProcessExited(event.at_ns, event.process, 0))
    return took_s


def _whole_life(stage: Stage) -> list[float]:
    """Seconds of the engine's time for a program's start, exec and end."""
    took_s = []
    for number in range(ROUNDS, 2 * ROUNDS):
        event = executed(number)
        start = time.perf_counter()
        stage.handle(ProcessStarted(event.at_ns, event.process, event.parent))
        stage.handle(event)
        stage.handle(ProcessExited(event.at_ns, event.process, 0))
        took_s.append(time.perf_counter() - start)
        stage.told.clear()
    return took_s


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _row(what: str, took_s: list[float], target: float | None, unit: str) -> Row:
    scale = 1e6 if unit == "us" else 1.0
    quarters = statistics.quantiles(took_s, n=4)
    return {
        "what": what,
        "value": round(statistics.median(took_s) * scale, 2),
        "unit": unit,
        "spread": [round(quarters[0] * scale, 2), round(quarters[2] * scale, 2)],
        "target": f"at most {target:g} {unit}" if target is not None else "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--stock", type=Path, default=STOCK, help="the folder of Falco's three rule files")
    options = parser.parse_args()
    rows = measure(options.stock)
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['what']:<56} {row['value']:>9} {row['unit']:<3} spread {row['spread']} {row['target']}")


if __name__ == "__main__":
    main()
