"""How long to wait before trying again: longer each time, and never in step with others."""

from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 60.0
MAX_ASKED_S: Final = 600.0
"""Longest wait that a target may ask for."""


def pause_s(failures: int, jitter: Callable[[], float], *, at_least_s: float = 0.0) -> float:
    """The wait after so many failures in a row; `jitter` returns a float in [0, 1)."""
    ceiling = min(FIRST_S * 2.0 ** min(max(failures - 1, 0), 16), LONGEST_S)
    return min(max(at_least_s, 0.0), MAX_ASKED_S) + ceiling * (0.5 + jitter() / 2)
