"""A web server under load, guarded and not: nginx under wrk in two lab tasks that take turns.

`python -m bench.nginx [--json] [--pairs N]`. Both tasks stand all the time; a pair is one run in each, in turning
order, so that drift of the machine falls on both. The figure is the median of the pairs' ratios, with its interval.
"""

import argparse
import random
import re
import shutil
import statistics
import sys
from pathlib import Path

from msgspec.structs import replace

from bench.rows import Row, show
from outrider_lab.network import TASK_ADDRESS
from outrider_lab.settings import guarded_task
from outrider_lab.task import Task

CONFIGURATION = """
daemon off; worker_processes 1; pid /tmp/nginx.pid; error_log /dev/null;
events { worker_connections 256; }
http { access_log off; server { listen 8080; location / { return 200 "hello"; } } }
"""
RUN = ("wrk", "-t1", "-c16", "-d1s")
OUTSIDE, LOOPBACK = f"http://{TASK_ADDRESS}:8080/", "http://127.0.0.1:8080/"


def start(task: Task) -> None:
    """Start nginx in the guarded container, and wait until it answers."""
    task.run(
        ["sh", "-c", "mkdir -p /var/log/nginx /var/lib/nginx; cat > /tmp/bench.conf"], stdin=CONFIGURATION.encode()
    )
    task.popen("exec nginx -c /tmp/bench.conf")
    done = task.run("for i in $(seq 100); do curl -s http://127.0.0.1:8080/ && exit 0; sleep 0.05; done; exit 1")
    if done.returncode:
        raise RuntimeError("nginx does not answer")


def requests_per_s(task: Task, url: str) -> float:
    """One run, by a client beside the task or (loopback) in it."""
    client = task.popen([*RUN, url]) if url == LOOPBACK else task.beside_popen([*RUN, url])
    said = client.communicate().stdout.decode()
    found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    if found is None:
        raise RuntimeError(f"wrk said {said!r}")
    return float(found[1])


def cpu_ns(task: Task) -> int:
    """Processor time that nginx took so far."""
    pids = [process.pid for process in task.processes() if process.comm == "nginx"]
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids)


def measure_once(task: Task, url: str) -> tuple[float, float]:
    """Requests a second, and nginx's processor time for each in microseconds."""
    before = cpu_ns(task)
    rate = requests_per_s(task, url)
    return rate, (cpu_ns(task) - before) / 1e3 / rate


def interval(values: list[float], *, rounds: int = 2000) -> tuple[float, float]:
    """The 95 % interval of the median, by drawing from the values again and again."""
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(rounds))
    return medians[int(rounds * 0.025)], medians[int(rounds * 0.975)]


def measure(pairs: int) -> list[Row]:
    """All rows."""
    guarded_settings = guarded_task()
    free_settings = replace(guarded_settings, sidecar=None, collector_command=())
    with Task(guarded_settings) as guarded, Task(free_settings) as free:
        for task in (guarded, free):
            start(task)
        outside = measure_pairs("clients outside the task", guarded, free, OUTSIDE, pairs)
        return outside + measure_pairs("client on the task's loopback", guarded, free, LOOPBACK, pairs)


def measure_pairs(name: str, guarded: Task, free: Task, url: str, pairs: int) -> list[Row]:
    """Rows of one way to the server."""
    ratios: list[float] = []
    costs: list[float] = []
    free_rates: list[float] = []
    for number in range(pairs):
        pair = {task: measure_once(task, url) for task in ((guarded, free) if number % 2 else (free, guarded))}
        ratios.append(pair[guarded][0] / pair[free][0])
        costs.append(pair[guarded][1] / pair[free][1])
        free_rates.append(pair[free][0])
    return [
        _row(f"nginx requests a second, guarded to unguarded, {name}", ratios, 0.99),
        _row(f"nginx processor time a request, guarded to unguarded, {name}", costs, None),
        {
            "what": f"nginx requests a second, unguarded, {name}",
            "value": round(statistics.median(free_rates)),
            "unit": "1/s",
            "spread": [round(min(free_rates)), round(max(free_rates))],
            "target": None,
        },
    ]


def _row(what: str, ratios: list[float], target: float | None) -> Row:
    low, high = interval(ratios)
    spread = [round(low, 4), round(high, 4)]
    return {
        "what": what,
        "value": round(statistics.median(ratios), 4),
        "unit": "ratio",
        "spread": spread,
        "target": target,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", type=int, default=40)
    options = parser.parse_args()
    if not (shutil.which("wrk") and Path("/usr/sbin/nginx").exists()):
        sys.exit("nginx and wrk are needed: make packages")
    show(measure(options.pairs), as_json=options.json)


if __name__ == "__main__":
    main()
