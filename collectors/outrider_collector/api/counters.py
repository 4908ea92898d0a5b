"""What the HTTP face counts. For the event loop's thread alone; read from there, too."""

from bisect import bisect_left
from collections import Counter
from typing import Final

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

MAX_CODES: Final = 200


class Counters:
    """Numbers since the collector began."""

    def __init__(self) -> None:
        self.batches: Counter[str] = Counter()
        self.batch_bytes = 0
        self.refusals: Counter[str] = Counter()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.streams = 0
        self.answered_in = [0] * (len(BUCKETS_S) + 1)
        self.answered_in_s = 0.0

    def refused(self, code: str) -> None:
        """One more refusal of a code; codes are ours, and few."""
        self.refusals[code if code in self.refusals or len(self.refusals) < MAX_CODES else "other"] += 1

    def answered(self, outcome: str, size_bytes: int, took_s: float) -> None:
        """One more batch: `accepted` or `duplicate`, its size, and from its last byte to the answer."""
        self.batches[outcome] += 1
        self.batch_bytes += size_bytes
        self.answered_in[bisect_left(BUCKETS_S, took_s)] += 1
        self.answered_in_s += took_s
