"""What the collector takes on one core, with the load on another: `python -m bench.collector [--json] [--quick]`.

A real collector process is held to one core by its affinity, the senders to another. Batches are sealed beforehand and
sent over raw sockets, so that the load is not what is measured. `--quick` is a tenth of the time.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection
from typing import Final
from urllib.parse import urlsplit

import msgspec

from bench.rows import Row, percentile, show
from bench.wire import EVENTS, FACTS, make_event, make_finding
from outrider_collector.client import Client
from outrider_sidecar.transport import HttpTransport
from outrider_wire.batch import CONTENT_TYPE, FIRST_PREVIOUS, seal_batch
from outrider_wire.enrolment import make_request
from outrider_wire.signing import SigningKey

TOKEN: Final = "bench-token"
SENDERS: Final = 8
ROUND_BATCHES: Final = 400
"""Batches of each sender in one measurement of the peak."""
ROUNDS: Final = 3
MANY: Final = 10_000
MANY_EVERY_S: Final = 10.0
MANY_TURNS: Final = 3
MANY_EVENTS: Final = 20
"""Events in a batch of one of ten thousand agents: each is far from busy."""
TICKS: Final = os.sysconf("SC_CLK_TCK")

TARGET_EVENTS_PER_S: Final = 300_000
TARGET_P99_MS: Final = 100.0
TARGET_MIB: Final = 400.0


class Sender:
    """An enrolled agent and the requests it will send, each whole: of these events, or of what `tell` says of each."""

    def __init__(
        self, url: str, batches: int, encoded: list[bytes] | Callable[[int], list[bytes]], *, findings: int = 0
    ) -> None:
        key, previous = SigningKey.generate(), FIRST_PREVIOUS
        transport = HttpTransport(url)
        transport.enrol(make_request(key, SigningKey.generate(), token=TOKEN, task=None, made_at_ns=1), timeout_s=30.0)
        transport.close()
        self.requests: list[bytes] = []
        for number in range(batches):
            told = [msgspec.msgpack.encode(make_finding(f"{key.agent[:8]}-{number}-{n}")) for n in range(findings)]
            events = encoded(number) if callable(encoded) else encoded
            sealed = seal_batch(
                key, FACTS, sequence=number, previous=previous, sealed_at_ns=1, events=events, findings=told
            )
            previous = sealed.digest
            self.requests.append(request_of(sealed.data))


def request_of(data: bytes) -> bytes:
    """A batch as it goes over a connection."""
    head = f"POST /v1/batches HTTP/1.1\r\nHost: bench\r\nContent-Type: {CONTENT_TYPE}\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


@contextmanager
def collector(data: Path, cores: set[int], **settings: str) -> Iterator[tuple[str, int]]:
    """A collector process on these cores, as are those it starts; gives its URL and pid."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTRIDER_")}
    environment |= {"OUTRIDER_COLLECTOR_TOKEN": TOKEN, "OUTRIDER_COLLECTOR_AGENT_BYTES_PER_S": "0"}
    environment |= {f"OUTRIDER_COLLECTOR_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "outrider_collector", "--listen", "127.0.0.1:0", "--data", str(data)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, cores)  # before it has threads, which would keep to the other core
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"], process.pid
    finally:
        process.terminate()
        process.wait()


def send_all(url: str, requests: Sequence[bytes], *, at_least_s: float = 0.0) -> None:
    """Send one after another on one connection, each when the one before is answered and its time has come."""
    parts = urlsplit(url)
    began = time.monotonic()
    with create_connection((parts.hostname or "", parts.port or 0), timeout=60.0) as raw:
        raw.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        for number, request in enumerate(requests):
            wait_s = began + at_least_s * number / len(requests) - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            raw.sendall(request)
            said = b""
            while not said.endswith(b"}"):
                said += raw.recv(65536)
            if b" 200 " not in said[:16]:
                raise RuntimeError(f"the collector answers {said[:400]!r}")


def send_together(url: str, senders: Sequence[Sender], *, at_least_s: float = 0.0) -> float:
    """All of them at once; the seconds it took."""
    threads = [
        threading.Thread(target=send_all, args=(url, each.requests), kwargs={"at_least_s": at_least_s})
        for each in senders
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began


def measure_peak(url: str, pid: int, encoded: list[bytes], batches: int) -> Iterator[Row]:
    """As fast as it goes: accepted, verified, fsynced; and indexed behind, on the same core."""
    rates, costs = [], []
    for _ in range(ROUNDS):
        senders = [Sender(url, batches, encoded) for _ in range(SENDERS)]
        wait_for_index(url)
        before_s = processor_s(pid)
        took_s = send_together(url, senders)
        rates.append(SENDERS * batches * EVENTS / took_s)
        costs.append((processor_s(pid) - before_s) / (SENDERS * batches) * 1e3)
    yield row("500-event batches accepted, verified, fsynced: events", rates, "1/s", f"at least {TARGET_EVENTS_PER_S}")
    yield row("processor time of a 500-event batch, index included", costs, "ms", "")


class Turns:
    """Ten thousand agents on connections that stay, one batch each in every period, evenly spread."""

    def __init__(self, url: str, senders: list[Sender], every_s: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._senders, self._every_s = senders, every_s
        self.took_ms: list[float] = []

    async def run(self) -> None:
        """All turns."""
        began = time.monotonic() + 2.0
        await asyncio.gather(*(self._one(began, n, each) for n, each in enumerate(self._senders)))

    async def _one(self, began: float, number: int, sender: Sender) -> None:
        phase_s = self._every_s * number / len(self._senders)
        await asyncio.sleep(began + phase_s - 1.0 - time.monotonic())
        reader, writer = await asyncio.open_connection(self._host, self._port)
        for turn, request in enumerate(sender.requests):
            await asyncio.sleep(max(began + phase_s + turn * self._every_s - time.monotonic(), 0))
            sent = time.monotonic()
            writer.write(request)
            said = await reader.readuntil(b"}")
            self.took_ms.append((time.monotonic() - sent) * 1e3)
            if b" 200 " not in said[:16]:
                raise RuntimeError(f"the collector answers {said[:400]!r}")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def measure_many(url: str, pid: int, encoded: list[bytes], agents: int) -> Iterator[Row]:
    """Ten thousand agents: how long each waits, and what their connections and keys take."""
    senders = [Sender(url, MANY_TURNS, encoded[:MANY_EVENTS]) for _ in range(agents)]
    wait_for_index(url)
    turns = Turns(url, senders, MANY_EVERY_S * agents / MANY)
    gc.collect()
    gc.freeze()
    gc.disable()  # the load's own pauses, of a second with so many connections, are not the collector's
    asyncio.run(turns.run())
    gc.enable()
    what = f"{agents} agents, a batch each 10 s"
    yield row(f"{what}: answer, median", [percentile(turns.took_ms, 0.5)], "ms", "")
    yield row(f"{what}: answer, p99", [percentile(turns.took_ms, 0.99)], "ms", f"at most {TARGET_P99_MS:g}")
    yield row(f"{what}: most memory", [most_memory_mib(pid)], "MiB", f"under {TARGET_MIB:g}")


def row(what: str, values: list[float], unit: str, target: str) -> Row:
    """The median of several, and how far they lay apart."""
    spread = f"{min(values):.4g} to {max(values):.4g}" if len(values) > 1 else ""
    return {"what": what, "value": round(percentile(values, 0.5), 2), "unit": unit, "spread": spread, "target": target}


def wait_for_index(url: str) -> None:
    """Until /readyz says that the index is where the spool is."""
    client = Client(url, TOKEN)
    while client.readiness().index_lag_bytes:
        time.sleep(0.02)


def processor_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def most_memory_mib(pid: int) -> float:
    """The most a process ever held."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(scale: float) -> Iterator[Row]:
    """All of it, on two cores where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    encoded = [msgspec.msgpack.encode(make_event(number)) for number in range(EVENTS)]
    with tempfile.TemporaryDirectory() as scratch:
        with collector(Path(scratch) / "peak", {cores[0]}) as (url, pid):
            yield from measure_peak(url, pid, encoded, int(ROUND_BATCHES * scale))
        with collector(Path(scratch) / "many", {cores[0]}) as (url, pid):
            yield from measure_many(url, pid, encoded, int(MANY * scale))


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    arguments = parser.parse_args()
    show(list(measure(0.1 if arguments.quick else 1.0)), as_json=arguments.json)


if __name__ == "__main__":
    main()
