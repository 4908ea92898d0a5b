"""The lake's own process: beside a real intake, killed and started anew, and gone with who started it."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from lake_stories import NOON_NS, Teller, read_records, story, task_view
from sqlalchemy import func, select

from outrider_collector.intake import Intake
from outrider_collector.lake.child import LakeOrders, running_lake, start_child, stop_child
from outrider_collector.lake.layout import own_name
from outrider_collector.lake.places import LocalLake
from outrider_collector.lake.record import load_record
from outrider_collector.lake.starting import kept_in_lake, lake_orders, lake_reached
from outrider_collector.settings import Settings
from outrider_collector.spool import Spool
from outrider_collector.store.database import open_database
from outrider_collector.store.tables import occurrences
from outrider_wire.enrolment import make_request
from outrider_wire.errors import ConfigError
from outrider_wire.signing import SigningKey

KILLS = 8


def wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for a condition; fail where it does not come about in time."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.02)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A collector with a lake that is quick to flush."""
    return Settings(data=tmp_path, token="x" * 8, lake=str(tmp_path / "lake"), lake_flush_s=0.05)


@pytest.fixture
def orders(settings: Settings) -> LakeOrders:
    """What its lake's process is told."""
    told = lake_orders(settings, "one")
    assert told is not None
    return told


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    """A running intake over the same spool and store."""
    made = Intake(open_database(tmp_path / "outrider.sqlite"), Spool(tmp_path / "spool"), collector="one")
    made.start()
    yield made
    made.close()


def enrolled(intake: Intake, number: int) -> Teller:
    """An agent that this intake takes batches of."""
    teller = Teller(Spool.__new__(Spool), number)
    request = make_request(teller.key, SigningKey.generate(), token="x" * 8, task=task_view(number), made_at_ns=NOON_NS)
    assert intake.enrol(request).result(10).accepted
    return teller


def test_killed_again_and_again_the_lake_has_each_record_once(
    tmp_path: Path, intake: Intake, orders: LakeOrders, settings: Settings
) -> None:
    """The process is killed while batches come; some are sent again as after a collector's death."""
    chance, expected = random.Random(3), 0
    teller = enrolled(intake, 1)
    for number in range(KILLS):
        child = start_child(orders)
        told = story(1, NOON_NS, first_pid=100 + 10 * number)
        sealed = teller.seal(told)
        intake.submit(sealed).result(10)
        if number % 3 == 0:
            intake._spool.append([(NOON_NS, sealed)])  # a copy that was spooled by one who then died
        expected += len(told) - 1
        time.sleep(chance.uniform(0.0, 1.2))
        child.kill()
        child.wait()
    assert intake.indexer.wait(30)
    last = start_child(orders)
    end = intake._spool.written
    wait_until(lambda: lake_reached(tmp_path / "lake.position") >= end)
    made = newest_finding(tmp_path / "outrider.sqlite")
    wait_until(lambda: load_record(LocalLake(tmp_path / "lake"), own_name("one")).position.offset >= made)
    stop_child(last)
    seen = Counter(
        r["metadata"]["uid"] for r in read_records(tmp_path / "lake") if "ContainerSeen" not in r["metadata"]["uid"]
    )
    expected += KILLS - 1  # the collector's own findings: no batch of this teller's follows from the one before it
    assert set(seen.values()) == {1} and len(seen) == expected
    kept = kept_in_lake(settings)
    assert kept is not None and kept >= end


def newest_finding(database: Path) -> int:
    """The greatest number of a finding in a store."""
    with open_database(database).connect() as connection:
        return int(connection.execute(select(func.max(occurrences.c.position))).scalar_one())


def test_what_waits_is_flushed_when_the_collector_stops(tmp_path: Path, intake: Intake, settings: Settings) -> None:
    """A good-bye loses nothing, though no flush was due."""
    slow = lake_orders(Settings(data=tmp_path, token="x" * 8, lake=str(tmp_path / "lake"), lake_flush_s=3600.0), "one")
    assert slow is not None
    teller = enrolled(intake, 1)
    with running_lake(slow):
        intake.submit(teller.seal(story(1, NOON_NS))).result(10)
        assert intake.indexer.wait(30)
        wait_until((tmp_path / "lake.position").exists)
        time.sleep(0.6)  # longer than the process looks away
    assert len(read_records(tmp_path / "lake")) == len(story(1, NOON_NS))


def test_a_process_that_dies_is_started_anew(tmp_path: Path, intake: Intake, orders: LakeOrders) -> None:
    """By the collector, after a pause."""
    teller = enrolled(intake, 1)
    with running_lake(orders):
        wait_until(lambda: bool(children()))
        os.kill(children()[0], signal.SIGKILL)
        intake.submit(teller.seal(story(1, NOON_NS))).result(10)
        wait_until(lambda: len(read_records(tmp_path / "lake")) > 0)


def test_it_ends_with_whoever_started_it(tmp_path: Path, orders: LakeOrders) -> None:
    """Also where that one had no time to say so."""
    (tmp_path / "spool").mkdir()
    code = (
        "import sys, time, msgspec; from outrider_collector.lake.child import LakeOrders, start_child;"
        "c = start_child(msgspec.json.decode(sys.argv[1], type=LakeOrders)); print(c.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, msgspec.json.encode(orders).decode()], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_until((tmp_path / "lake.position").exists)
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_running(pid))


def test_two_do_not_write_the_same_spool(tmp_path: Path, orders: LakeOrders) -> None:
    """The second one says so and ends."""
    (tmp_path / "spool").mkdir()
    first = start_child(orders)
    wait_until((tmp_path / "lake.position").exists)
    second = start_child(orders)
    assert second.wait(30) == 1
    stop_child(first)


def test_no_lake_is_wanted_unless_it_is_named(tmp_path: Path) -> None:
    """And limits that would never or always flush are refused."""
    assert lake_orders(Settings(data=tmp_path, token="x" * 8), "one") is None
    assert kept_in_lake(Settings(data=tmp_path, token="x" * 8)) is None
    with pytest.raises(ConfigError):
        lake_orders(Settings(data=tmp_path, token="x" * 8, lake="x", lake_flush_rows=0), "one")


def children() -> list[int]:
    """Lake processes that this one started."""
    started = psutil.Process().children()
    return [each.pid for each in started if "outrider_collector.lake" in each.cmdline()]


def is_running(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
