"""From the kernel's clock in a message to the clocks of events and of /proc."""

import time
from typing import Final

from outrider_sidecar.clocks import TICKS_PER_S

TICK_NS: Final = 1_000_000_000 // TICKS_PER_S
SLACK_TICKS: Final = 1
"""A process's start time is taken microseconds before its fork message, perhaps in the tick before."""


class Clock:
    """The offsets of CLOCK_REALTIME and CLOCK_BOOTTIME from CLOCK_MONOTONIC, as last read."""

    def __init__(self) -> None:
        self._real_ns = 0
        self._boot_ns = 0
        self.set()

    def set(self) -> None:
        """Read the offsets anew: clocks are set, and machines sleep."""
        now_ns = time.monotonic_ns()
        self._real_ns = time.time_ns() - now_ns
        self._boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - now_ns

    def epoch(self, monotonic_ns: int) -> int:
        """As ns since the epoch."""
        return monotonic_ns + self._real_ns

    def now_ns(self) -> int:
        """Now, in ns since the epoch."""
        return time.monotonic_ns() + self._real_ns

    def start_ticks(self, monotonic_ns: int) -> int:
        """As proc_pid_stat(5) tells when a process began."""
        return (monotonic_ns + self._boot_ns) // TICK_NS

    def is_same_start(self, start_ticks: int, monotonic_ns: int) -> bool:
        """Whether a process that began so is the one of a fork message of that time."""
        return abs(self.start_ticks(monotonic_ns) - start_ticks) <= SLACK_TICKS
