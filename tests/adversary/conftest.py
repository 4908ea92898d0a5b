"""What these tests share: tasks with the real sidecar, and knowing when it guards."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

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
