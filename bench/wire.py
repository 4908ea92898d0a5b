"""What the wire, the journal and the collector cost: `python -m bench.wire [--json]`.

Everything runs on this machine: the journal in a temporary directory, a real collector process on loopback.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from outrider_collector.client import Client
from outrider_sidecar.journal import Journal, load_resume_key
from outrider_sidecar.shipper import Shipper
from outrider_sidecar.transport import HttpTransport
from outrider_wire.batch import (
    CONTENT_TYPE,
    FIRST_PREVIOUS,
    BatchFacts,
    SealedBatch,
    open_envelope,
    read_events,
    read_findings,
    seal_batch,
    verify_envelope,
)
from outrider_wire.enrolment import make_request
from outrider_wire.events import Descriptor, Event, FileFacts, ProcessExecuted, ProcessId
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

TOKEN: Final = "bench-token"
FACTS: Final = BatchFacts(interval_s=10.0)
EVENTS: Final = 500
ROUNDS: Final = 40
APPENDS: Final = 20_000
BATCHES: Final = 600
AGENTS: Final = 4
FINDINGS: Final = 150


class Figure(msgspec.Struct):
    """One measured figure. `spread` are the quartiles, where there are any; `target` is what not to exceed."""

    what: str
    value: float
    unit: str
    spread: list[float] = []
    target: float | None = None


def make_event(number: int) -> ProcessExecuted:
    """An exec as a busy task makes them: no two alike."""
    return ProcessExecuted(
        at_ns=1_767_225_600_000_000_000 + number * 1_234_567,
        process=ProcessId(1000 + number, 555_000 + number),
        parent=ProcessId(900 + number % 7, 554_000),
        comm="python3",
        exe=FileFacts("/usr/local/bin/python3.11", 64769, 140_000 + number, 0o100755, 6_000_000, 1, 1),
        argv=("/usr/local/bin/python3", "-m", "worker", f"--job={os.urandom(8).hex()}"),
        cwd="/srv/app",
        uid=1000,
        stdio=tuple(Descriptor(fd, f"pipe:[{number * 3 + fd}]", number * 3 + fd, 14, "rw") for fd in range(3)),
        sensor="attach",
    )


def make_finding(name: str) -> Finding:
    """A finding of little weight."""
    return Finding(
        id=name, type="Execution:Runtime/X", rule="x", severity="LOW", title="x", at="2026-01-01T00:00:00Z",
        process=None, container=None, evidence={"path": "/tmp/x"}, attribution="exact",
    )  # fmt: skip


def timed(what: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def figure(what: str, values: list[float], unit: str, target: float | None = None) -> Figure:
    """The median with its spread."""
    low, middle, high = statistics.quantiles(values, n=4)
    return Figure(what, round(middle, 3), unit, [round(low, 3), round(high, 3)], target)


def measure_batch(encoded: list[bytes]) -> Iterator[Figure]:
    """Sealing and reading a batch of 500 events."""
    key = SigningKey.generate()

    def seal() -> SealedBatch:
        return seal_batch(key, FACTS, sequence=0, previous=FIRST_PREVIOUS, sealed_at_ns=1, events=encoded)

    data = seal().data

    def read() -> None:
        batch = verify_envelope(open_envelope(data), key.public)
        read_findings(batch), read_events(batch)

    yield figure("seal a batch of 500 events", [timed(seal) * 1e3 for _ in range(ROUNDS)], "ms")
    yield figure("verify and decode it", [timed(read) * 1e3 for _ in range(ROUNDS)], "ms")
    yield Figure("its size on the wire", round(len(data) / 1024, 1), "KiB")


def measure_append(directory: Path, events: list[Event]) -> Iterator[Figure]:
    """Appending to the journal, sealing left out."""
    journal = Journal.open(directory, limit_bytes=256 << 20, key=SigningKey.generate())
    event_s = [timed(lambda i=i: journal.append_event(events[i % EVENTS])) for i in range(APPENDS)]
    finding_s = [timed(lambda i=i: journal.append_finding(make_finding(str(i)))) for i in range(APPENDS // 10)]
    yield figure("append an event to the journal", [each * 1e6 for each in event_s], "µs", 50.0)
    yield figure("append a finding to the journal", [each * 1e6 for each in finding_s], "µs", 50.0)
    worst = sorted(event_s)[int(len(event_s) * 0.999)]
    yield Figure("append an event, p99.9", round(worst * 1e6, 1), "µs")
    journal.close()


@contextmanager
def collector(data: Path) -> Iterator[str]:
    """A collector process; gives its URL."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTRIDER_")}
    command = [sys.executable, "-m", "outrider_collector", "--listen", "127.0.0.1:0", "--data", str(data)]
    process = subprocess.Popen(
        command, env=environment | {"OUTRIDER_COLLECTOR_TOKEN": TOKEN}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait()


def measure_start(data: Path) -> Iterator[Figure]:
    """From the start of the collector's process to its first answer."""

    def start(number: int) -> float:
        began = time.perf_counter()
        with collector(data / str(number)) as url:
            Client(url, TOKEN).findings(limit=1)
            return time.perf_counter() - began

    yield figure("start of the collector to its first answer", [start(n) for n in range(5)], "s", 0.9)


def measure_ingest(url: str, encoded: list[bytes]) -> Iterator[Figure]:
    """500-event batches that a collector accepts, several agents at once, each on one connection."""
    chains = [make_chain(url, encoded) for _ in range(AGENTS)]
    threads = [threading.Thread(target=post_all, args=(url, chain)) for chain in chains]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    per_s = sum(map(len, chains)) / (time.perf_counter() - began)
    yield Figure("500-event batches accepted, verified, fsynced", round(per_s), "1/s")
    yield Figure("the same in events", round(per_s * EVENTS), "1/s")


def make_chain(url: str, encoded: list[bytes]) -> list[bytes]:
    """An enrolled agent's batches, sealed beforehand."""
    key, previous, chain = SigningKey.generate(), FIRST_PREVIOUS, []
    request = make_request(key, SigningKey.generate(), token=TOKEN, task=None, made_at_ns=1)
    HttpTransport(url).enrol(request, timeout_s=5.0)
    for number in range(BATCHES // AGENTS):
        sealed = seal_batch(key, FACTS, sequence=number, previous=previous, sealed_at_ns=1, events=encoded)
        previous = sealed.digest
        chain.append(sealed.data)
    return chain


def post_all(url: str, chain: list[bytes]) -> None:
    """Send one after another."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30.0)
    for data in chain:
        connection.request("POST", "/v1/batches", data, {"Content-Type": CONTENT_TYPE})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"the collector answers {response.status}: {response.read()[:200]!r}")
        response.read()
    connection.close()


def measure_delivery(url: str, directory: Path) -> Iterator[Figure]:
    """From appending a finding to its acknowledgement by the collector."""
    key = SigningKey.generate()
    journal, resume = Journal.open(directory, limit_bytes=64 << 20, key=key), load_resume_key(directory)
    shipper = Shipper(
        journal,
        HttpTransport(url),
        facts=lambda: FACTS,
        request=lambda: make_request(key, resume, token=TOKEN, task=None, made_at_ns=1),
    )
    threading.Thread(target=shipper.run, args=(threading.Event(),), daemon=True).start()
    took_ms = []
    for number in range(FINDINGS):
        delivered, began = shipper.status.delivered, time.perf_counter()
        journal.append_finding(make_finding(str(number)))
        while shipper.status.delivered == delivered:
            time.sleep(0.0003)
        took_ms.append((time.perf_counter() - began) * 1e3)
    shipper.flush(5.0)
    yield figure("finding appended to acknowledged", took_ms, "ms")
    p99 = sorted(took_ms)[int(FINDINGS * 0.99)]
    yield Figure("finding appended to acknowledged, p99", round(p99, 1), "ms", [], 300.0)


def measure() -> Iterator[Figure]:
    """All of them."""
    events: list[Event] = [make_event(number) for number in range(EVENTS)]
    encoded = [msgspec.msgpack.encode(event) for event in events]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        yield from measure_batch(encoded)
        yield from measure_append(place / "append", events)
        yield from measure_start(place / "start")
        with collector(place / "collector") as url:
            yield from measure_ingest(url, encoded)
            yield from measure_delivery(url, place / "delivery")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    figures = list(measure())
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(figures), indent=1).decode())
        return
    for each in figures:
        spread = f"[{each.spread[0]:g}, {each.spread[1]:g}]" if each.spread else ""
        target = f"target {each.target:g}" if each.target is not None else ""
        print(f"{each.what:50} {each.value:>12g} {each.unit:4} {spread:20} {target}")


if __name__ == "__main__":
    main()
