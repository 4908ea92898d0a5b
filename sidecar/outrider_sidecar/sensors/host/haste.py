"""How urgently the lookout runs: like everybody while it comes in time, before everybody while it is late.

A short program is gone half a millisecond after its exec. Where a processor is idle, the lookout is there in time
whatever its priority, and the guarded program does not notice. Where all are busy, it waits in line for milliseconds
and finds nothing: measured on two busy cores, it came in time for 40 % of short programs, and for 99 % with the lowest
real-time priority (SCHED_FIFO), which goes before whatever runs. But a real-time thread is not held back by a cgroup's
quota either, and would take a whole processor from the guarded programs in a storm of starts; so it takes that
priority only for as long as it is late, and never while it uses more than its share.

An attack's decisive program may be the first short one in minutes, and being late for that one is too late. So it is
not waited for: the kernel counts how long we were kept waiting for a processor each time we woke
(/proc/thread-self/schedstat), and we wake many times a second. Waiting a millisecond is a busy machine. One exec read
that late is a reason to ask at once; but where we were late and did not wait, it was our own work that held us up, and
going before others would only hold them up as well: the kernel puts a real-time thread that wakes where it last ran,
before the program that runs there, even where another processor is idle.
"""

import os
import time
from collections.abc import Callable
from typing import Final

LATE_NS: Final = 250_000
"""An exec that is read this long after its message was made may be gone: it comes for one in ten short programs."""
MANY_LATE: Final = 0.1
FEW: Final = 4
"""Fewer late ones than this in one review say nothing."""
VERY_LATE_NS: Final = 1_000_000
"""So long a wait for a processor says that every processor is busy; an exec read as late has that looked at."""
HASTE_NS: Final = 5_000_000_000
"""So long it goes before others, after it was late."""
SHARE: Final = 0.3
"""Of one processor's time: beyond it the lookout waits in line like everybody."""


class Priority:
    """Runs before everybody, or as we were begun. Raises PermissionError without CAP_SYS_NICE."""

    def __init__(self) -> None:
        self._before = os.sched_getscheduler(0), os.sched_getparam(0)

    def __call__(self, first: bool) -> None:
        policy, param = (os.SCHED_FIFO, os.sched_param(1)) if first else self._before
        os.sched_setscheduler(0, policy, param)


class Waits:
    """How long we were kept waiting for a processor since the last call, in ns; None where nobody counts it."""

    def __init__(self) -> None:
        self._before_ns = 0
        try:
            self._fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self()

    def __call__(self) -> int | None:
        if self._fd < 0:
            return None
        ran_ns, waited_ns, _ = map(int, os.pread(self._fd, 128, 0).split())
        if not ran_ns:
            return None
        since_ns, self._before_ns = waited_ns - self._before_ns, waited_ns
        return since_ns


class Haste:
    """Decides at each `review`, and at once where it was very late; `note` is told how late each exec was read."""

    def __init__(
        self,
        *,
        run_first: Callable[[bool], None] | None = None,
        used_ns: Callable[[], int] = time.process_time_ns,
        waited_ns: Callable[[], int | None] | None = None,
    ) -> None:
        self._run_first = run_first or Priority()
        self._waited_ns = waited_ns or Waits()
        self._used_ns = used_ns
        self._may = True
        self._seen = 0
        self._late = 0
        self._kept_ns = 0
        self._is_greedy = False
        self._until_ns = 0
        self._reviewed_ns = 0
        self._used_before_ns = used_ns()
        self.is_first = False

    def note(self, delay_ns: int) -> None:
        """An exec was read so long after its message was made."""
        self._seen += 1
        if delay_ns > LATE_NS:
            self._late += 1
        if delay_ns > VERY_LATE_NS and not self._is_greedy and self._has_waited(if_unknown=True):
            self._until_ns = self._reviewed_ns + HASTE_NS
            self._set(True)

    def review(self, now_ns: int) -> None:
        """Look at what was noted since the last review, and change the priority where that is called for."""
        used_ns = self._used_ns()
        share = (used_ns - self._used_before_ns) / max(1, now_ns - self._reviewed_ns)
        many_late = self._late >= FEW and self._late > MANY_LATE * self._seen
        if self._has_waited(if_unknown=False) or many_late:
            self._until_ns = now_ns + HASTE_NS
        self._is_greedy = share > SHARE
        self._seen = self._late = self._kept_ns = 0
        self._used_before_ns, self._reviewed_ns = used_ns, now_ns
        self._set(now_ns < self._until_ns and not self._is_greedy)

    def _has_waited(self, *, if_unknown: bool) -> bool:
        """Whether we were kept waiting for long since the last review."""
        waited_ns = self._waited_ns()
        if waited_ns is None:
            return if_unknown
        self._kept_ns += waited_ns
        return self._kept_ns > VERY_LATE_NS

    def _set(self, first: bool) -> None:
        if first == self.is_first or not self._may:
            return
        try:
            self._run_first(first)
            self.is_first = first
        except OSError:
            self._may = False  # no CAP_SYS_NICE, or a kernel that gives no real-time share to this cgroup
