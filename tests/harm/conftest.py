"""What these tests share: a program that notices every harm, and knowing when the sidecar guards."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab_tasks import guarding, kill_all, lab_machine, wait_for  # noqa: F401  (fixtures)
from msgspec import Struct

from outrider_lab.task import Task

PROGRAMS = Path(__file__).with_name("programs")


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


@pytest.fixture
def attack() -> Callable[[Task, str], str]:
    """Runs a new program of this name in the guarded container; gives its path, which its finding tells."""

    def run(task: Task, name: str) -> str:
        assert task.run(f"cp /bin/true /tmp/{name}; /tmp/{name}").returncode == 0
        return f"/tmp/{name}"

    return run
