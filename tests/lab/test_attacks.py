"""Every attack and every quiet twin really does what it is for, in a task without a guard."""

from pathlib import Path

import pytest

from outrider_lab.attacks import ATTACKS, SCENARIOS, find_scenario
from outrider_lab.attacks.play import check_tools, play
from outrider_lab.attacks.scenario import Scenario
from outrider_lab.task import Task
from outrider_wire.errors import Unavailable

WITH_PEER = tuple(one for one in SCENARIOS if one.peer is not None and not one.peer.connects)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


def skip_without_tools(scenario: Scenario) -> None:
    try:
        check_tools(scenario)
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.lab
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_it_works(task: Task, scenario: Scenario, folder: Path):
    """Played against a peer outside the task, it has the effect it names."""
    skip_without_tools(scenario)
    played = play(task, scenario, folder=folder)
    assert played.worked, played


@pytest.mark.lab
@pytest.mark.parametrize("scenario", WITH_PEER, ids=lambda one: one.name)
def test_it_works_on_loopback(task: Task, scenario: Scenario):
    """Played against a peer in the task itself, it has the same effect."""
    skip_without_tools(scenario)
    played = play(task, scenario, loopback=True)
    assert played.worked, played


def test_names_are_unique():
    """A scenario is found by its name."""
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert find_scenario("new-binary").finding


def test_attacks_name_a_finding_and_twins_none():
    """What raises something says so; what is ordinary work says that it does not."""
    assert all(scenario.finding for scenario in ATTACKS)
    assert not any(scenario.finding for scenario in SCENARIOS if scenario.name.startswith("quiet-"))
