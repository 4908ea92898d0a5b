"""Root in the guarded container cannot look into any process of the sidecar, at any moment from its start."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from outrider_lab.settings import SIDECAR, ContainerSettings, guarded_task
from outrider_lab.task import Task

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]
PRY = Path(__file__).parent / "programs" / "pry.py"
TOKEN = "token-0f7d2a-that-nobody-may-read"
RESTARTS = 4
MET_EACH = 6
"""Processes of the sidecar that must be looked into each time: three that are killed, three that take their place."""


def command() -> list[str]:
    return [sys.executable, "-S", "-E", str(PRY), TOKEN]


def wait_until_rounds(task: Task, rounds: int) -> None:
    """Let the prying go on for as long as this takes: each health check is one more process to look into."""
    for _ in range(rounds):
        task.exec([sys.executable, "-m", "outrider_cli.main", "health"], container=SIDECAR)


def finish(process: Any) -> dict[str, Any]:
    done = process.communicate()
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_is_readable_from_the_first_moment(
    guarding: Callable[[Task], list[int]], kill_all: Callable[[Task], None]
):
    """Through starts, kills, restarts, forks and health checks, no file, link or call of /proc gives anything away."""
    with Task(guarded_task(token=TOKEN)) as task:
        guarding(task)
        task.control("sidecar", "stop")
        prying = task.popen(command())
        prying.read_until(b"prying")
        for _ in range(RESTARTS):
            task.control("sidecar", "start")
            guarding(task)
            wait_until_rounds(task, 2)
            kill_all(task)
            guarding(task)
            task.control("sidecar", "stop")
        told = finish(prying)
    assert sum("outrider" in name for name in told["met"].values()) >= MET_EACH * RESTARTS, told["met"]
    assert any("outrider_cli.main health" in name for name in told["met"].values()), told["met"]
    assert min(told["tries"].values()) > 100, told["tries"]
    assert told["read"] == {}


def test_nothing_is_readable_where_the_guarded_program_was_there_first():
    """A sidecar that is started last is looked into from its container runtime's first step on."""
    main = ContainerSettings(name="app", command=tuple(command()))
    with Task(replace(guarded_task(main, token=TOKEN), late_sidecar=True)) as task:
        assert task.main is not None
        task.main.read_until(b"prying")
        assert task.wait_ready(timeout_s=30.0)
        wait_until_rounds(task, 3)
        told = finish(task.main)
    assert sum("outrider" in name for name in told["met"].values()) >= 3, told["met"]
    assert any(name.startswith(("runc", "exe:")) for name in told["met"].values()), told["met"]
    assert told["read"] == {}


def test_the_prying_would_find_what_is_open(guarding: Callable[[Task], list[int]]):
    """Without SYS_PTRACE in the other container, the same program reads its environment, memory and folders."""
    quiet = ContainerSettings(
        name=SIDECAR, command=("/bin/sh", "-c", "touch /outrider/ready; exec sleep infinity"), read_only_root=True
    )
    with Task(replace(guarded_task(token=TOKEN), sidecar=quiet)) as task:
        prying = task.popen(command())
        prying.read_until(b"prying")
        for _ in range(5):
            task.run("true")
        told = finish(prying)
    assert told["read"]["sleep: sleep infinity environ"][1] is True
    ways = {key.removeprefix("sleep: sleep infinity ") for key in told["read"] if key.startswith("sleep: sleep")}
    assert {"mem", "maps", "exe", "root/outrider", "fd", "fdinfo", "ptrace", "pidfd_getfd"} <= ways
