"""What following many networks costs: `python -m bench.host_network [--json]`.

Fifty network namespaces, each with a pair of interfaces and held by a process that sleeps; in a process of its own a
namespace sensor that follows them all. Measured: its processor time while nothing happens, the memory that is its
own for each namespace, how soon a namespace is tapped, and what one costs to open. Needs root; exit code 77 without.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from bench.rows import Row, show
from outrider_sidecar.linux.netns import network_of, own_network
from outrider_sidecar.sensors.namespaces import NamespaceSensor

NETWORKS: Final = 50
IDLE_S: Final = 20.0
_UP: Final = "ip link set lo up; ip link add e0 type veth peer name e1; ip link set e0 up; ip link set e1 up"


@contextlib.contextmanager
def made_networks(count: int) -> Iterator[list[int]]:
    """So many networks; the pids of their holders."""
    own = own_network()
    with ExitStack() as ends:
        pids = []
        for _ in range(count):
            holder = subprocess.Popen(["unshare", "-n", "sleep", "900"])
            ends.callback(holder.wait)
            ends.callback(holder.kill)
            pids.append(holder.pid)
        for pid in pids:
            while network_of(pid) == own:
                time.sleep(0.005)
            subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "sh", "-ec", _UP], check=True)
        time.sleep(2.0)  # until the kernel has done with the interfaces' addresses
        yield pids


def _follow(pids: list[int], answers: int, orders: int) -> None:
    """Follow the networks that each order has more of; answer with the milliseconds until all had their taps."""
    sensor, stop = NamespaceSensor(sockets=False), threading.Event()
    thread = threading.Thread(target=sensor.run, args=(lambda _: None, stop), daemon=True)
    thread.start()
    while order := os.read(orders, 16):
        began_s, wanted = time.perf_counter(), pids[: int(order)]
        for pid in wanted:
            sensor.follow(network_of(pid), pid)
        while len(sensor.networks) < len(wanted):
            time.sleep(0.0005)
        os.write(answers, b"%d\n" % ((time.perf_counter() - began_s) * 1e6))


def _pss_kib(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/schedstat") as stat:
        main_ns = int(stat.read().split()[0])
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
            total += int(stat.read().split()[0])
    return max(total, main_ns) / 1e9


def measure(*, networks: int = NETWORKS, idle_s: float = IDLE_S) -> list[Row]:
    """Rows of every figure."""
    with made_networks(networks) as pids:
        answers, told = os.pipe()
        orders, order = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(order)
            _follow(pids, told, orders)
            os._exit(0)
        try:
            opened_us = []

            def follow(count: int) -> None:
                os.write(order, str(count).encode())
                opened_us.append(int(os.read(answers, 32)))

            follow(1)
            first_kib = _pss_kib(child)
            for count in range(2, 12):
                follow(count)
            follow(networks)
            time.sleep(1.0)
            all_kib, began_s = _pss_kib(child), _cpu_s(child)
            time.sleep(idle_s)
            share = (_cpu_s(child) - began_s) / idle_s
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    singles = sorted(us / 1e3 for us in opened_us[1:11])
    rest_ms = opened_us[11] / 1e3 / (networks - 11)
    return [
        _row(f"{networks} idle networks: processor time", round(share * 100, 3), "% of a core", target=0.1),
        _row(
            "memory of each network followed (PSS)", round((all_kib - first_kib) / (networks - 1), 1), "KiB", target=40
        ),
        _row(
            "from being told of a network to its taps being open",
            round(statistics.median(singles), 2),
            "ms",
            [round(singles[0], 2), round(singles[-1], 2)],
        ),
        _row("the same for each of many at once", round(rest_ms, 2), "ms"),
    ]


def _row(what: str, value: float, unit: str, spread: list[float] | None = None, target: float | None = None) -> Row:
    return {"what": what, "value": value, "unit": unit, "spread": spread or [], "target": target}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parser.add_argument("--idle-s", type=float, default=IDLE_S)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("network namespaces need root", file=sys.stderr)
        return 77
    show(measure(networks=options.networks, idle_s=options.idle_s), as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
