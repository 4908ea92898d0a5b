"""What these tests share: a program that notices every harm, and knowing when the sidecar guards."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from lab_tasks import guarding, kill_all, lab_machine, wait_for  # noqa: F401  (fixtures)
from msgspec import Struct

from outrider_lab.process import LabProcess
from outrider_lab.task import Task

PROGRAMS = Path(__file__).with_name("programs")


class Spawned(Struct):
    """What the spawning program noticed; `longest_ms` is the longest that any of its programs took, and
    `longest_unguarded_ms` that of the same beside the task, where nobody guards: so long the machine itself takes."""

    spawns: int = 0
    wrong: list[str] = []
    longest_ms: float = 0.0
    longest_unguarded_ms: float = 0.0

    @property
    def waited_ms(self) -> float:
        """How much of the longest is the guard's doing."""
        return self.longest_ms - self.longest_unguarded_ms


def spawner(workers: int) -> list[str]:
    return [sys.executable, "-S", "-E", str(PROGRAMS / "spawner.py"), str(workers)]


@contextmanager
def told_by(process: LabProcess) -> Iterator[Spawned]:
    """What a spawning program noticed, filled in at the end."""
    noticed = Spawned()
    process.read_until(b"spawning", timeout_s=30.0)
    yield noticed
    told = json.loads(process.communicate(timeout_s=60.0).stdout.splitlines()[-1])
    noticed.spawns, noticed.wrong, noticed.longest_ms = told["spawns"], told["wrong"], told["longest_ms"]


@contextmanager
def spawning(task: Task, *, timed: bool = False) -> Iterator[Spawned]:
    """Have a guarded program start others and check each; `timed`, and another beside the task, for comparison."""
    with ExitStack() as both:
        unguarded = both.enter_context(told_by(task.beside_popen(spawner(1)))) if timed else Spawned()
        noticed = both.enter_context(told_by(task.popen(spawner(2))))
        yield noticed
    noticed.longest_unguarded_ms = unguarded.longest_ms


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
