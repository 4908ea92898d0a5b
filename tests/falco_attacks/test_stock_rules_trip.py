"""The stock actions, really played under the stock rules: what is said to be caught is, on the process that did it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider_lab.attacks.falco import ACTIONS
from outrider_lab.attacks.falco.action import Action
from outrider_lab.compatibility import Outcome, play_all
from outrider_lab.needs import check_needs
from outrider_wire.errors import Unavailable

pytestmark = pytest.mark.lab

SEEN = [action for action in ACTIONS if not action.blind]
PLAIN_AT_LEAST = 45


@pytest.fixture(scope="module")
def outcomes(rules: Path) -> Iterator[dict[str, Outcome]]:
    """Every action, played once, in one task."""
    try:
        check_needs()
        yield {outcome.action.name: outcome for outcome in play_all(rules)}
    except Unavailable as unavailable:
        pytest.skip(f"no lab here: {unavailable}")


@pytest.mark.parametrize("action", SEEN, ids=lambda action: action.name)
def test_an_action_trips_the_rule_it_is_named_after(action: Action, outcomes: dict[str, Outcome]):
    """On the very process; where inotify alone told of it, the process may be inferred, and is said to be."""
    outcome = outcomes[action.name]
    if not outcome.played:
        pytest.skip(outcome.note)
    assert outcome.finding is not None, outcome.note
    assert outcome.on_actor or outcome.finding.attribution == "unknown"


def test_what_is_said_to_be_blind_is(outcomes: dict[str, Outcome]):
    """A rule that holds after all is not to be listed as blind."""
    assert not [name for name, outcome in outcomes.items() if outcome.action.blind and outcome.finding]


def test_enough_of_the_stock_actions_trip_their_rule(outcomes: dict[str, Outcome]):
    """Of those that need neither SYS_ADMIN nor a host nor an outside network."""
    plain = [one for one in outcomes.values() if not one.action.needs and one.finding is not None]
    assert len(plain) >= PLAIN_AT_LEAST
