"""Each agent's share: a bucket of bytes, filled at a steady rate, as deep as a long outage's journal."""

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_BUCKETS = 20_000
"""Most agents whose bucket is kept; one that is forgotten is full again."""


class Limited(Exception):
    """An agent sends more than its share; `retry_after_s` is when its bucket has room again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"come back in {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class Limiter:
    """Buckets by agent. For one thread. `bytes_per_s` 0 means that nobody is limited."""

    def __init__(self, bytes_per_s: int, burst_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._depth, self._clock = bytes_per_s, max(burst_bytes, 1), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, agent: str, size: int) -> None:
        """Take `size` bytes out of the agent's bucket; one that is not empty lends. Raises Limited."""
        if not self._rate:
            return
        now_s = self._clock()
        level, at_s = self._buckets.get(agent, (float(self._depth), now_s))
        level = min(self._depth, level + (now_s - at_s) * self._rate)
        if level <= 0:
            raise Limited(min(max(-level / self._rate, 1.0), 60.0))
        self._buckets[agent] = (level - size, now_s)
        self._buckets.move_to_end(agent)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
