"""What these tests share: a program that notices every harm, and knowing when the sidecar guards."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import Struct

from outrider_lab.needs import check_needs
from outrider_lab.settings import SIDECAR
from outrider_lab.task import Task
from outrider_wire.errors import Unavailable

PROGRAMS = Path(__file__).with_name("programs")
PROCESSES = 3
"""Supervisor, tracer, engine."""


@pytest.fixture(autouse=True, scope="session")
def lab_machine() -> None:
    """Skips where the lab is not possible."""
    try:
        check_needs()
    except Unavailable as error:
        pytest.skip(str(error))


def wait_for(holds: Callable[[], bool], *, timeout_s: float = 10.0, what: str = "the condition") -> None:
    """Wait until a condition holds. Raises AssertionError when the time is up."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come in {timeout_s} s"
        time.sleep(0.01)


def task_pids(task: Task) -> list[int]:
    """The sidecar's processes as the task knows them, once all are there and it says that it sees."""
    wait_for(lambda: task.wait_ready(timeout_s=0.0) and len(task.processes(SIDECAR)) == PROCESSES, what="the sidecar")
    return [process.task_pid for process in task.processes(SIDECAR)]


@pytest.fixture
def guarding() -> Callable[[Task], list[int]]:
    """Waits until a task is guarded; the sidecar's pids in the task."""
    return task_pids


class Spawned(Struct):
    """What the spawning program noticed; `longest_ms` is the longest that any of its programs took."""

    spawns: int = 0
    wrong: list[str] = []
    longest_ms: float = 0.0


@contextmanager
def spawning(task: Task) -> Iterator[Spawned]:
    """Have a guarded program start others and check each; what it noticed is filled in at the end."""
    noticed = Spawned()
    process = task.popen([sys.executable, "-S", "-E", str(PROGRAMS / "spawner.py")])
    process.read_until(b"spawning")
    yield noticed
    told = json.loads(process.communicate(timeout_s=60.0).stdout.splitlines()[-1])
    noticed.spawns, noticed.wrong, noticed.longest_ms = told["spawns"], told["wrong"], told["longest_ms"]


@pytest.fixture(name="spawning")
def spawning_fixture() -> Callable[[Task], object]:
    """`with spawning(task) as noticed: …`"""
    return spawning


@pytest.fixture(name="wait_for")
def wait_for_fixture() -> Callable[..., None]:
    """Waits until a condition holds."""
    return wait_for


@pytest.fixture
def kill_all() -> Callable[[Task], None]:
    """Kills every process of the sidecar, and waits for their end."""

    def kill(task: Task) -> None:
        pids = set(task.kill_sidecar())
        wait_for(lambda: not pids & set(task.sidecar_pids()), what="the sidecar's end")

    return kill


@pytest.fixture
def attack() -> Callable[[Task, str], str]:
    """Runs a new program of this name in the guarded container; gives its path, which its finding tells."""

    def run(task: Task, name: str) -> str:
        assert task.run(f"cp /bin/true /tmp/{name}; /tmp/{name}").returncode == 0
        return f"/tmp/{name}"

    return run
