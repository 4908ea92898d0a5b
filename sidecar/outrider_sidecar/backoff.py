"""Backoff: how long to wait before trying again, longer each time, never in step with others."""

from collections.abc import Callable

FIRST_S = 0.2

LONGEST_S = 30.0


class Backoff:
    """Exponential backoff with full jitter. `random` returns a float in [0, 1)."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0

    @property
    def failing(self) -> bool:
        """True since the last failure, until the next success."""
        return self._failures > 0

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0

    def failed(self, *, at_least_s: float = 0.0) -> float:
        """Count a failure; returns how many seconds to wait, not less than the peer asked for.

        Up to half as long again: a peer that asks many at once is not to have them all back at once.
        """
        ceiling: float = min(FIRST_S * 2.0 ** min(self._failures, 16), LONGEST_S)
        self._failures += 1
        spread = self._random() / 2
        return at_least_s * (1 + spread) + ceiling * (0.5 + spread)
