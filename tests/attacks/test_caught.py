"""Every attack is really run in a real task, and caught on the exact process; its quiet twins raise nothing."""

import re
import time
from pathlib import Path

import pytest

from outrider_lab.attacks import ATTACKS, QUIET
from outrider_lab.attacks.play import Played, check_tools, play
from outrider_lab.attacks.scenario import REVERSE_SHELL, Scenario
from outrider_lab.task import Task
from outrider_wire.errors import Unavailable
from outrider_wire.findings import Finding

pytestmark = pytest.mark.lab

FOUND_WITHIN_S = 5.0
QUIET_FOR_S = 1.0
"""A finding comes within 0.3 s; so long nothing may come."""

LISTENING_ATTACKS = [attack for attack in ATTACKS if attack.peer is not None]


def new_findings(task: Task, before: set[str]) -> list[Finding]:
    return [finding for finding in task.findings() if finding.id not in before]


def attack(task: Task, scenario: Scenario, folder: Path, *, loopback: bool = False) -> tuple[Played, list[Finding]]:
    """Play a scenario and wait for its finding, then a moment for what should not come."""
    try:
        check_tools(scenario)
    except Unavailable as missing:
        pytest.skip(str(missing))
    before = {finding.id for finding in task.findings()}
    played = play(task, scenario, loopback=loopback, folder=folder)
    assert played.worked, (played.output, played.errors, played.heard)
    deadline_s = time.monotonic() + (FOUND_WITHIN_S if scenario.finding else QUIET_FOR_S)
    while time.monotonic() < deadline_s:
        found = new_findings(task, before)
        if scenario.finding and any(finding.type == scenario.finding for finding in found):
            break
        time.sleep(0.05)
    return played, new_findings(task, before)


def shell_pid(played: Played) -> int:
    """The pid that the shell at the other end said it has."""
    said = re.search(rb"outrider-42 pid=(\d+)", played.heard)
    assert said, played.heard
    return int(said[1])


def check_attack(task: Task, scenario: Scenario, folder: Path, *, loopback: bool) -> None:
    played, found = attack(task, scenario, folder, loopback=loopback)
    ours = [finding for finding in found if finding.type == scenario.finding]
    assert len(ours) == 1, [(f.type, f.description) for f in found]
    (finding,) = ours
    assert {f.type for f in found} <= {scenario.finding, *scenario.allowed}
    assert finding.container is not None, finding
    assert finding.container.name == "app"
    assert re.fullmatch(r"[0-9a-f]{32}-\d+", finding.container.id)
    assert finding.task is not None
    assert finding.task.arn
    assert finding.process is not None, finding
    assert finding.process.ancestry, finding
    if scenario.finding == REVERSE_SHELL:
        line = [finding.process.pid, *(ancestor.pid for ancestor in finding.process.ancestry)]
        # a loop's own process is a fork of the shell that says its pid
        assert shell_pid(played) in line[:2], (shell_pid(played), finding.process)
        assert finding.evidence["stdio.direction"] == "outbound"


@pytest.mark.parametrize("scenario", ATTACKS, ids=lambda s: s.name)
def test_an_attack_is_caught(scenario, task, folder):
    """The attack works, and is one finding of its type, in its container, about the process that did it."""
    check_attack(task, scenario, folder, loopback=False)


@pytest.mark.parametrize("scenario", LISTENING_ATTACKS, ids=lambda s: s.name)
def test_an_attack_over_loopback_is_caught(scenario, task, folder):
    """The same where the other end is in the task itself."""
    check_attack(task, scenario, folder, loopback=True)


@pytest.mark.parametrize("scenario", QUIET, ids=lambda s: s.name)
def test_ordinary_work_is_quiet(scenario, task, folder):
    """Work that looks much like an attack raises nothing but what is said of it, and that low."""
    _, found = attack(task, scenario, folder)
    assert {finding.type for finding in found} <= set(scenario.allowed), [f.description for f in found]
    assert {finding.severity for finding in found} <= {"LOW"}
