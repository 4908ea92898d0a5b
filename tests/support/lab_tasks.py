"""What tests of whole lab tasks share: skipping where there can be none, and knowing when the sidecar guards.

Fixtures are taken by name: `from lab_tasks import guarding, lab_machine  # noqa: F401` in a conftest.
"""

import time
from collections.abc import Callable

import pytest

from outrider_lab.needs import check_needs
from outrider_lab.settings import SIDECAR
from outrider_lab.task import Task
from outrider_wire.errors import Unavailable

PROCESSES = 3
"""Supervisor, tracer, engine."""


@pytest.fixture(autouse=True, scope="session")
def lab_machine() -> None:
    """Skips where the lab is not possible, and says why."""
    try:
        check_needs()
    except Unavailable as unavailable:
        pytest.skip(f"no lab here: {unavailable}")


def wait_until(holds: Callable[[], bool], *, timeout_s: float = 30.0, what: str = "the condition") -> None:
    """Wait until a condition holds. Raises AssertionError when the time is up."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come in {timeout_s} s"
        time.sleep(0.01)


def task_pids(task: Task) -> list[int]:
    """The sidecar's processes as the task knows them, once all are there and it says that it sees."""
    # in this order: what the one before said of itself is taken away before the next is started
    wait_until(lambda: len(task.processes(SIDECAR)) == PROCESSES and task.wait_ready(timeout_s=0.0), what="the sidecar")
    return [process.task_pid for process in task.processes(SIDECAR)]


def kill_sidecar(task: Task) -> None:
    """Kill every process of the sidecar and wait for their end: until then it still seems to guard."""
    pids = set(task.kill_sidecar())
    wait_until(lambda: not pids & set(task.sidecar_pids()), what="the sidecar's end")


@pytest.fixture
def guarding() -> Callable[[Task], list[int]]:
    """Waits until a task is guarded; the sidecar's pids in the task."""
    return task_pids


@pytest.fixture
def kill_all() -> Callable[[Task], None]:
    """Kills every process of the sidecar, and waits for their end."""
    return kill_sidecar


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Waits until a condition holds."""
    return wait_until
