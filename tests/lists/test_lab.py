"""Lists end to end: a real task under guard, whose lists change at the collector while it runs."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_tasks import lab_machine  # noqa: F401  (a fixture)

from outrider_lab.attacks import LISTED, UNLISTED
from outrider_lab.attacks.listed import write_lists, write_sources
from outrider_lab.attacks.play import play
from outrider_lab.attacks.scenario import Scenario
from outrider_lab.settings import MAIN, ContainerSettings, guarded_task
from outrider_lab.task import Task
from outrider_wire.findings import Finding

pytestmark = pytest.mark.lab

FOUND_WITHIN_S = 10.0
QUIET_FOR_S = 1.0
SETTLE_S = 0.5
"""The second question of a pair, or what is found besides, may come so long after the first."""


def in_force(task: Task) -> int:
    """How many documents the sidecar took, by its log."""
    return task.log("outrider").count("threat lists are in force")


def wait_for_lists(task: Task, count: int) -> None:
    deadline_s = time.monotonic() + 15.0
    while in_force(task) < count:
        assert time.monotonic() < deadline_s, (task.log("outrider"), task.log("collector"))
        time.sleep(0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lists")


@pytest.fixture(scope="module")
def task(folder: Path) -> Iterator[Task]:
    """A task whose collector begins with a list of something else."""
    from msgspec.structs import replace

    (folder / "first.txt").write_text("first.example\n")
    file = write_sources(folder, [f'[[list]]\nname = "first"\nfrom = "{folder / "first.txt"}"\n'])
    settings = guarded_task(ContainerSettings(name=MAIN))
    settings = replace(settings, collector_env={**settings.collector_env, "OUTRIDER_COLLECTOR_LISTS": str(file)})
    with Task(settings) as task:
        assert task.ready, task.log("outrider")
        yield task


@pytest.fixture(scope="module")
def listed(task: Task, folder: Path) -> Task:
    """The task after the list was changed while it ran; nothing was found before, of what is listed now."""
    wait_for_lists(task, 1)
    play(task, next(scenario for scenario in LISTED if scenario.name == "listed-name-c2"))
    play(task, next(scenario for scenario in LISTED if scenario.name == "listed-address-c2"))
    time.sleep(QUIET_FOR_S)
    assert task.findings() == []
    write_lists(folder)
    wait_for_lists(task, 2)
    return task


def new_findings(task: Task, scenario: Scenario, within_s: float) -> list[Finding]:
    before = {finding.id for finding in task.findings()}
    played = play(task, scenario)
    assert played.worked, (played.output, played.errors)
    deadline_s = time.monotonic() + within_s
    found: list[Finding] = []
    while time.monotonic() < deadline_s:
        found = [finding for finding in task.findings() if finding.id not in before]
        if scenario.finding and any(finding.type == scenario.finding for finding in found):
            time.sleep(SETTLE_S)
            return [finding for finding in task.findings() if finding.id not in before]
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("scenario", LISTED, ids=lambda s: s.name)
def test_what_is_listed_is_caught(scenario, listed):
    """A finding of its type, about the process that did it, once the list was changed; nothing restarted."""
    found = new_findings(listed, scenario, FOUND_WITHIN_S)
    ours = [finding for finding in found if finding.type == scenario.finding]
    assert {each.type for each in found} <= {scenario.finding, *scenario.allowed}
    assert ours
    assert {each.container.name for each in ours if each.container is not None} == {MAIN}
    if not scenario.name.startswith("listed-name"):  # a question is over before its socket can be looked at
        assert any(each.process is not None for each in ours)


@pytest.mark.parametrize("scenario", UNLISTED, ids=lambda s: s.name)
def test_what_is_not_listed_or_trusted_is_quiet(scenario, listed):
    """The ordinary twins raise nothing of a list."""
    found = new_findings(listed, scenario, QUIET_FOR_S)
    assert {finding.type for finding in found} <= set(scenario.allowed), [f.description for f in found]


def test_the_lists_outlive_the_sidecar_and_the_collector(listed, folder):
    """The collector away and the sidecar started anew, what is listed is found, and told when the collector is back."""
    scenario = next(scenario for scenario in LISTED if scenario.name == "listed-name-dga")
    taken = in_force(listed)
    listed.control("collector", "stop")
    listed.kill_sidecar()
    wait_for_lists(listed, taken + 1)
    assert listed.wait_ready(timeout_s=10.0)
    assert play(listed, scenario).worked
    before = time.time()
    listed.control("collector", "start")
    found = listed.findings(
        lambda all_found: sum(each.type == scenario.finding for each in all_found) > 1, timeout_s=FOUND_WITHIN_S + 20
    )
    assert sum(each.type == scenario.finding for each in found) > 1, (before, [each.type for each in found])
