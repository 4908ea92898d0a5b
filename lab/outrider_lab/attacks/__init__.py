"""Attacks and their quiet twins: what tests, benches and the demo do in a lab task. They never ship in an image."""

from typing import Final

from outrider_lab.attacks.fileless import FILELESS_PROGRAMS
from outrider_lab.attacks.listed import LISTED, UNLISTED
from outrider_lab.attacks.mining import MINING
from outrider_lab.attacks.new_binary import NEW_BINARIES
from outrider_lab.attacks.new_library import NEW_LIBRARIES
from outrider_lab.attacks.quiet import QUIET
from outrider_lab.attacks.reverse_shells import REVERSE_SHELLS
from outrider_lab.attacks.scenario import Scenario

__all__ = ["ATTACKS", "LISTED", "QUIET", "SCENARIOS", "UNLISTED", "Scenario", "find_scenario"]

ATTACKS: Final[tuple[Scenario, ...]] = (
    *NEW_BINARIES,
    *NEW_LIBRARIES,
    *FILELESS_PROGRAMS,
    *REVERSE_SHELLS,
    *MINING,
)
SCENARIOS: Final[tuple[Scenario, ...]] = (*ATTACKS, *QUIET)


def find_scenario(name: str) -> Scenario:
    """Raises KeyError for a name that no scenario has."""
    return {scenario.name: scenario for scenario in (*SCENARIOS, *LISTED, *UNLISTED)}[name]
