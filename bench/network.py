"""How well and how fast the packet sensor names the owner of a connection: `python -m bench.network --json`.

A workload in a process of its own forks short-lived clients; each connects over loopback, keeps the connection for
10 ms and ends. It reports the truth (pid and port), the sensor what it saw. Needs CAP_NET_RAW; exit code 77 without.
"""

import argparse
import json
import os
import queue
import socket
import statistics
import subprocess
import sys
import threading
import time
from typing import Final

from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_sidecar.sensors.packets import PacketSensor, probe_packet
from outrider_wire.events import ConnectionOpened, Event

CONNECTIONS: Final = 500
LIFE_S: Final = 0.010
GAP_S: Final = 0.004
"""Between two clients: some three of them are alive at once."""


def run_workload(connections: int, life_s: float, gap_s: float) -> None:
    """Fork the clients one after another; print `pid port server-port` of each."""
    server = socket.create_server(("127.0.0.1", 0), backlog=connections)
    address = server.getsockname()
    for _ in range(connections):
        pid = os.fork()
        if pid == 0:
            client = socket.create_connection(address)
            os.write(1, f"{os.getpid()} {client.getsockname()[1]} {address[1]}\n".encode())
            time.sleep(life_s)
            os._exit(0)
        time.sleep(gap_s)
    for _ in range(connections):
        os.wait()


class Watch:
    """A packet sensor in a thread, with the moment at which each event was handed over."""

    def __init__(self) -> None:
        self.seen: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._sensor = PacketSensor(OwnerFinder())
        self._sensor.open()
        self._thread = threading.Thread(target=self._sensor.run, args=(self._take, self._stop))

    def _take(self, event: Event) -> None:
        self.seen.put((time.time_ns(), event))

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def opened_by(
        self, ports: set[int], server_port: int, *, deadline_s: float
    ) -> dict[int, tuple[int, ConnectionOpened]]:
        """The first outbound event of each port, with the nanoseconds it took, waited for until the deadline."""
        found: dict[int, tuple[int, ConnectionOpened]] = {}
        end = time.monotonic() + deadline_s
        while len(found) < len(ports) and (left := end - time.monotonic()) > 0:
            try:
                at_ns, event = self.seen.get(timeout=left)
            except queue.Empty:
                break
            if not isinstance(event, ConnectionOpened) or event.destination_port != server_port:
                continue  # others use loopback too
            if event.direction == "outbound" and event.source_port in ports:
                found.setdefault(event.source_port, (at_ns - event.at_ns, event))
        return found


def measure(connections: int, life_s: float) -> list[dict[str, object]]:
    """Figures of one run."""
    command = [sys.executable, "-m", "bench.network", "--workload", str(connections), str(life_s)]
    cpu_s = time.process_time()
    with Watch() as watch:
        output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        truth = {int(port): int(pid) for pid, port, _ in (line.split() for line in output.splitlines())}
        server_port = int(output.split()[2])
        found = watch.opened_by(set(truth), server_port, deadline_s=10)
    cpu_s = time.process_time() - cpu_s
    owners = {port: event.owner.pid for port, (_, event) in found.items() if event.owner is not None}
    right = sum(owners[port] == truth[port] for port in owners)
    delays_ms = sorted(delay_ns / 1e6 for delay_ns, _ in found.values()) or [0.0]
    life = f"connection of {life_s * 1e3:g} ms"

    def share(count: int) -> float:
        return round(100 * count / connections, 2)

    return [
        {"what": f"{life}: seen", "value": share(len(found)), "unit": "%", "spread": None, "target": "100"},
        {"what": f"{life}: owner right", "value": share(right), "unit": "%", "spread": None, "target": ">= 99"},
        {
            "what": f"{life}: owner wrong",
            "value": share(len(owners) - right),
            "unit": "%",
            "spread": None,
            "target": "0",
        },
        {
            "what": f"{life}: owner unknown",
            "value": share(len(found) - len(owners)),
            "unit": "%",
            "spread": None,
            "target": "<= 1",
        },
        {
            "what": "SYN to event, median",
            "value": round(statistics.median(delays_ms), 2),
            "unit": "ms",
            "spread": [round(delays_ms[len(delays_ms) // 4], 2), round(delays_ms[len(delays_ms) * 3 // 4], 2)],
            "target": None,
        },
        {
            "what": "SYN to event, p99",
            "value": round(delays_ms[len(delays_ms) * 99 // 100], 2),
            "unit": "ms",
            "spread": [round(delays_ms[0], 2), round(delays_ms[-1], 2)],
            "target": None,
        },
        {
            "what": "processor time of the sensor for each connection",
            "value": round(cpu_s * 1e3 / connections, 2),
            "unit": "ms",
            "spread": None,
            "target": None,
        },
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--life-ms", type=float, default=LIFE_S * 1e3)
    parser.add_argument("--workload", nargs=2, metavar=("COUNT", "LIFE_S"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.workload:
        run_workload(int(arguments.workload[0]), float(arguments.workload[1]), GAP_S)
        return 0
    if not (capability := probe_packet()).available:
        print(capability.reason, file=sys.stderr)
        return 77
    figures = measure(arguments.connections, arguments.life_ms / 1e3)
    if arguments.json:
        print(json.dumps(figures, indent=1))
    else:
        for figure in figures:
            print(f"{figure['what']:52} {figure['value']:>8} {figure['unit']}  target {figure['target'] or '-'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
