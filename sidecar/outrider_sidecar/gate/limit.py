"""How many refusals are believed: past a number in a minute the rule is more likely wrong than right. Pure."""

from collections import deque
from typing import Final

MINUTE_NS: Final = 60 * 1_000_000_000


class Limit:
    """Counts refusals in the last minute."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._times: deque[int] = deque()

    def allows(self, now_ns: int) -> bool:
        """Whether one more may be; it is counted then. False: this one is too many."""
        while self._times and now_ns - self._times[0] >= MINUTE_NS:
            self._times.popleft()
        if len(self._times) >= self._most:
            return False
        self._times.append(now_ns)
        return True
