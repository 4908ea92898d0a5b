"""Clocks: when a process began, in wall time, from its start ticks."""

import os
import time
from typing import Final

from outrider_wire.events import ProcessId

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def started_at_ns(process: ProcessId) -> int:
    """When a process began, ns since the epoch, to one tick (10 ms).

    start_ticks counts from boot on CLOCK_BOOTTIME, which a suspended machine keeps counting; /proc/stat's btime
    is a whole second and moves with the wall clock, so it is not used.
    """
    now_ns = time.time_ns()
    since_boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return now_ns - since_boot_ns + process.start_ticks * 1_000_000_000 // TICKS_PER_S
