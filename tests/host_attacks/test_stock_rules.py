"""The stock rules that are of files, tripped in a container of an instance: each by the very process, known exactly."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider_lab.attacks.falco.action import Action
from outrider_lab.attacks.falco.credentials import CREDENTIALS
from outrider_lab.attacks.falco.execution import EXECUTION
from outrider_lab.attacks.falco.files import FILES
from outrider_lab.attacks.falco.stage import STOCK_FILES
from outrider_lab.compatibility import Outcome, play_all
from outrider_wire.errors import Unavailable

pytestmark = pytest.mark.lab

SHARED = Path(__file__).parents[3] / "shared" / "corpora" / "falco-rules"
RUN_FROM_FILES = (
    "DropAndExecuteNewBinaryInContainer",
    "ExecutionFromDevShm",
    "ScheduleCronJobs",
    "RemoveBulkDataFromDisk",
)
OF_FILES = tuple(
    action
    for action in (*FILES, *CREDENTIALS, *(one for one in EXECUTION if one.name in RUN_FROM_FILES))
    if not action.blind
)
OUTRUN = {
    "DropAndExecuteNewBinaryInContainer",
    "ExecutionFromDevShm",
    "ReadShellConfigurationFile",
    "ReadSensitiveFileUntrusted",
    "FindAwsCredentials",
    "SearchPrivateKeysOrPasswords",
}
"""A known gap: nobody is stopped at an exec, and what ends within a millisecond or two may be gone before it was looked
at. The last two are judged by the arguments of such a program alone."""


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome]]:
    """Every one of them, played once, in one container."""
    rules = Path(os.environ.get("OUTRIDER_TEST_FALCO_RULES", SHARED))
    if not all((rules / name).is_file() for name in STOCK_FILES):
        pytest.skip(f"shared data: no stock rules in {rules}")
    try:
        yield {outcome.action.name: outcome for outcome in play_all(rules, OF_FILES, mode="host")}
    except Unavailable as unavailable:
        pytest.skip(f"no lab here: {unavailable}")


@pytest.mark.parametrize("action", OF_FILES, ids=lambda action: action.name)
def test_an_action_trips_its_rule_on_the_process_that_did_it(action: Action, outcomes: dict[str, Outcome]):
    """The pid is the one that the machine gave it, looked up before it acted; fanotify names it, nothing is guessed."""
    outcome = outcomes[action.name]
    if not outcome.played:
        pytest.skip(outcome.note)
    if not outcome.on_actor and action.name in OUTRUN:
        pytest.xfail(outcome.note or "its process had ended before it was looked at")
    assert outcome.finding is not None, outcome.note
    assert outcome.on_actor, outcome.finding.process
    assert outcome.finding.attribution == "exact"
