"""The lake's process: started by the collector, gone when the collector is, started anew when it dies.

It is a process of its own because it works as hard as the collector itself: what makes Parquet must not take turns with
what answers senders. It is not forked but run, since the collector has threads. Its standard input is a pipe that the
collector holds: when that ends, whatever the reason, it stops.
"""

import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

STOP_S: Final = 60.0
"""How long a last flush may take when the collector stops; what is not in the lake then is in the spool."""

RESTART_S: Final = 2.0

log = logging.getLogger("outrider.collector")


class LakeOrders(Struct, frozen=True, kw_only=True):
    """What the process needs to know. `database` is the store's URL, empty where every batch counts."""

    lake: str
    spool: str
    collector: str
    lock: str
    progress: str
    database: str = ""
    endpoint: str = ""
    region: str = ""
    keep_days: int = 0
    flush_s: float = 300.0
    flush_rows: int = 500_000
    flush_bytes: int = 128 << 20


@contextlib.contextmanager
def running_lake(orders: LakeOrders) -> Iterator[None]:
    """A lake process for as long as the context lasts."""
    stop = threading.Event()
    keeper = threading.Thread(target=_keep, args=(orders, stop), name="lake", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join(STOP_S + 5)


def _keep(orders: LakeOrders, stop: threading.Event) -> None:
    while not stop.is_set():
        child = start_child(orders)
        while child.poll() is None and not stop.wait(0.2):
            pass
        if stop.is_set():
            stop_child(child)
            return
        log.error("the lake's process ended with %s; it is started anew", child.returncode)
        stop.wait(RESTART_S)


def start_child(orders: LakeOrders) -> subprocess.Popen[bytes]:
    """Start it. Its orders are the first line of its input: a list of processes must not show the secret of a URL."""
    child = subprocess.Popen([sys.executable, "-m", "outrider_collector.lake"], stdin=subprocess.PIPE)
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(msgspec.json.encode(orders) + b"\n")
        child.stdin.flush()
    return child


def stop_child(child: subprocess.Popen[bytes]) -> None:
    """Let it flush and end."""
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main() -> int:
    """The process: read orders, follow the spool until the input ends."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    orders = msgspec.json.decode(_first_line(), type=LakeOrders)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
    try:
        with locked(Path(orders.lock)):
            follow(orders, stop)
    except (OSError, ValueError) as error:
        print(json.dumps({"event": "lake-failed", "reason": str(error)}), file=sys.stderr)
        return 1
    return 0


def follow(orders: LakeOrders, stop: threading.Event) -> None:
    """Follow the spool as ordered. Raises ConfigError, ValueError."""
    import pyarrow as pa  # here: the collector starts this process and must not load it itself

    from outrider_collector.lake.counting import Counting, all_count
    from outrider_collector.lake.following import Follower, Judge
    from outrider_collector.lake.own import OwnFindings
    from outrider_collector.lake.places import open_lake
    from outrider_collector.lake.writer import Limits
    from outrider_collector.store.database import open_database

    judge: Judge = all_count
    lake = open_lake(orders.lake, endpoint=orders.endpoint, region=orders.region)
    limits = Limits(orders.flush_rows, orders.flush_bytes, orders.flush_s)
    own = None
    if orders.database:
        engine = open_database(orders.database if "://" in orders.database else Path(orders.database))
        judge = Counting(engine, orders.collector).judge
        own = OwnFindings(lake, engine, orders.collector, limits=limits)
    pa.set_memory_pool(pa.system_memory_pool())  # it gives pages back more slowly: a third less time altogether
    pa.set_cpu_count(1)
    gc.disable()  # hundreds of thousands of records and no cycles: each look through them would be in vain
    Follower(
        lake,
        Path(orders.spool),
        orders.collector,
        judge,
        limits=limits,
        keep_days=orders.keep_days,
        progress=Path(orders.progress),
        own=own,
    ).run(stop)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the one right to write a spool into a lake. Raises OSError where another process has it."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n") and (more := os.read(0, 1 << 16)):
        line += more
    return line


def _wait_for_end(stop: threading.Event) -> None:
    """Read the descriptor itself: a thread inside a buffered reader is an abort when the interpreter ends."""
    while os.read(0, 1 << 16):
        pass
    stop.set()
