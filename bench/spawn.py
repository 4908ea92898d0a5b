"""What starting a program costs under guard: 3,000 posix_spawn of /bin/true, guarded, free, and under strace.

`python -m bench.spawn [--json]`. Free and guarded runs take turns; the figure is the median ratio of the pairs.
"""

import argparse
import os
import shutil
from pathlib import Path

from bench.guarding import Row, on_cpus, ratio_row, run_free, run_guarded, show

JOB = Path(__file__).parent / "jobs" / "spawn.py"
SPAWNS = 3000
STRACES = {
    "strace -f -e trace=execve": ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=execve"],
    "strace -f --seccomp-bpf -e trace=execve": [
        *("strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=execve")
    ],
}


def measure(*, spawns: int = SPAWNS, rounds: int = 10) -> list[Row]:
    """Rows of every figure of spawning."""
    rows = []
    for cpus, name, target in ((None, "two cores", 1.5), ({min(os.sched_getaffinity(0))}, "one core", 1.35)):
        with on_cpus(cpus):
            rows += _measure_on(name, spawns // rounds, rounds, target)
    return rows


def _measure_on(name: str, spawns: int, rounds: int, target: float) -> list[Row]:
    free, guarded, missed = [], [], 0
    run_free(JOB, spawns)  # warm caches
    for _ in range(rounds):
        free.append(run_free(JOB, spawns))
        seconds, events = run_guarded(JOB, spawns)
        guarded.append(seconds)
        missed += sum(spawns - events.get(kind, 0) for kind in ("ProcessStarted", "ProcessExecuted", "ProcessExited"))
        missed += 2  # the spawner itself was found: one start, one program, told besides
        missed += 0 if events.get("ProcessExited", 0) == spawns else 1  # and its end was seen
    rows = [ratio_row(f"spawn under guard, {name}", guarded, free, target)]
    rows.append({"what": f"spawns missed, {name}", "value": missed, "unit": "events", "spread": [], "target": 0})
    rows.append(
        {
            "what": f"spawn without guard, {name}",
            "value": round(min(free) / spawns * 1e6, 1),
            "unit": "us",
            "spread": [round(min(free) / spawns * 1e6, 1), round(max(free) / spawns * 1e6, 1)],
            "target": None,
        }
    )
    for what, command in STRACES.items() if shutil.which("strace") else ():
        turns = [(run_free(JOB, spawns, wrap=command), run_free(JOB, spawns)) for _ in range(max(2, rounds // 4))]
        rows.append(ratio_row(f"spawn under {what}, {name}", *map(list, zip(*turns, strict=True)), None))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    show(measure(rounds=options.rounds), as_json=options.json)


if __name__ == "__main__":
    main()
