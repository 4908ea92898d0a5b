"""Whatever happens to the sidecar's processes, the guarded program's every result is right, and sight returns."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from outrider_lab.settings import guarded_task
from outrider_lab.task import Task
from outrider_wire.findings import Finding

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
ROLES = ("supervisor", "engine", "tracer")
LONGEST_MS = 500.0
GAPS = ("was not running", "engine died", "tracer died", "was not running")
"""What is said of the gap when the supervisor, the engine, the tracer or all of them were killed."""


def wait_for(holds: Callable[[], bool], *, what: str, timeout_s: float = 30.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come in {timeout_s} s"
        time.sleep(0.01)


def field_of(pid: int, name: str) -> int:
    """A number of /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {name}")


def pids_by_role(task: Task) -> dict[str, int]:
    """The sidecar's processes as pids of this machine, once all are there and hold the guarded entry point."""
    entry, found = min(task.processes(), key=lambda process: process.task_pid).pid, {}

    def is_complete() -> bool:
        pids = task.sidecar_pids()
        try:
            tracer = field_of(entry, "TracerPid")
            supervisor = field_of(tracer, "PPid")
        except FileNotFoundError:
            return False  # the one before, on its way out
        found.update(tracer=tracer, supervisor=supervisor)
        others = [pid for pid in pids if pid not in (tracer, supervisor)]
        found.update(engine=others[0] if others else 0)
        return len(pids) == len(ROLES) and {tracer, supervisor} < set(pids)

    wait_for(is_complete, what="the whole sidecar")
    return found


def sight_losses(findings: list[Finding]) -> list[str]:
    """What was said of sight that was lost."""
    return [finding.description for finding in findings if finding.type == "Outrider:Integrity/SightLost"]


def is_told(words: str, findings: list[Finding]) -> bool:
    """Whether a gap is told of in these words."""
    return any(words in loss for loss in sight_losses(findings))


def kill_in_turn(rounds: int, guarding, spawning, attack) -> None:
    with Task(replace(guarded_task(), restart_delay_s=0.05)) as task:
        guarding(task)
        with spawning(task) as noticed:
            for number in range(rounds):
                pids = pids_by_role(task)
                turn = number % 4
                victims = list(pids.values()) if turn == 3 else [pids[ROLES[turn]]]
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
                wait_for(lambda victims=victims: not set(victims) & set(task.sidecar_pids()), what="the death")
                guarding(task)
                if number < 4:  # later ones come too fast for each to be told of before the next
                    is_said = partial(is_told, GAPS[turn])
                    assert is_said(task.findings(is_said, timeout_s=15.0)), GAPS[turn]
        path = attack(task, "afterwards")
        found = task.findings(lambda all_: any(path in str(f.evidence) for f in all_), timeout_s=15.0)
    assert noticed.wrong == []
    assert noticed.spawns > 10 * rounds
    assert any(path in str(finding.evidence) for finding in found), "sight did not return"


def test_killed_one_after_another_and_all_at_once(guarding, spawning, attack):
    """Every result is right, sight returns, and each kind of gap is told of."""
    kill_in_turn(12, guarding, spawning, attack)


@pytest.mark.slow
def test_killed_a_hundred_times(guarding, spawning, attack):
    """The same a hundred times."""
    kill_in_turn(100, guarding, spawning, attack)


@pytest.mark.parametrize("role", ROLES)
def test_one_that_is_stopped_holds_nobody_for_long(role: str, guarding, spawning):
    """A stopped process is replaced; no spawn waits half a second for it, and none goes wrong."""
    with Task(replace(guarded_task(), restart_delay_s=0.05)) as task:
        guarding(task)
        with spawning(task, timed=True) as noticed:
            for _ in range(3):
                victim = pids_by_role(task)[role]
                os.kill(victim, signal.SIGSTOP)
                wait_for(lambda victim=victim: victim not in task.sidecar_pids(), what="the replacement")
                guarding(task)
    assert noticed.wrong == []
    assert noticed.waited_ms < LONGEST_MS, noticed


def test_set_uid_programs_keep_their_privilege(guarding: Callable[[Task], list[int]]):
    """A set-uid program started by an ordinary user runs as its owner, as without guard."""
    with Task(guarded_task()) as task:
        guarding(task)
        assert task.run("cp /usr/bin/id /var/tmp/my-id; chmod 4755 /var/tmp/my-id").returncode == 0
        done = task.exec(["/var/tmp/my-id", "-u"], user=(65534, 65534))
        assert (done.returncode, done.stdout) == (0, b"0\n")
        assert task.exec(["/var/tmp/my-id", "-ru"], user=(65534, 65534)).stdout == b"65534\n"
        switched = task.run(["su", "-s", "/bin/sh", "nobody", "-c", "/var/tmp/my-id -u; id -u"])
        assert switched.stdout == b"0\n65534\n", switched
