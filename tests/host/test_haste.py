"""When the lookout goes before everybody."""

import os
import subprocess
import sys
import time

from outrider_sidecar.sensors.host.haste import FEW, HASTE_NS, LATE_NS, VERY_LATE_NS, Haste, Waits

STEP_NS = 50_000_000


class Scene:
    """A Haste whose clock and processor time are given."""

    def __init__(self, *, allowed: bool = True) -> None:
        self.now_ns = STEP_NS
        self.used_ns = 0
        self.allowed = allowed
        self.asked: list[bool] = []
        self.waited_ns: int | None = 0
        self.haste = Haste(run_first=self.run_first, used_ns=lambda: self.used_ns, waited_ns=lambda: self.waited_ns)
        self.haste.review(self.now_ns)

    def run_first(self, first: bool) -> None:
        self.asked.append(first)
        if not self.allowed:
            raise PermissionError

    def pass_time(self, *, late: int = 0, early: int = 0, share: float = 0.1) -> bool:
        for delay_ns in [LATE_NS + 1] * late + [LATE_NS] * early:
            self.haste.note(delay_ns)
        self.now_ns += STEP_NS
        self.used_ns += int(share * STEP_NS)
        self.haste.review(self.now_ns)
        return self.haste.is_first


def test_goes_first_only_while_it_is_late() -> None:
    """Many late execs call for haste, which passes when it has come in time for a while."""
    scene = Scene()
    assert not scene.pass_time(early=50)
    assert scene.pass_time(late=10, early=10)
    for _ in range(HASTE_NS // STEP_NS - 1):
        assert scene.pass_time(early=20)
    assert not scene.pass_time(early=20)
    assert scene.asked == [True, False]


def test_few_late_ones_are_no_reason() -> None:
    """One program read late, or a few of very many, change nothing."""
    scene = Scene()
    assert not scene.pass_time(late=FEW - 1)
    assert not scene.pass_time(late=FEW, early=100)


def test_one_that_is_very_late_is_enough_and_at_once() -> None:
    """Whoever waits a millisecond for one program would miss the next one, which may be the one that counts."""
    scene = Scene()
    scene.waited_ns = VERY_LATE_NS + 1
    scene.haste.note(VERY_LATE_NS + 1)
    assert scene.haste.is_first
    assert scene.pass_time()


def test_late_by_its_own_work_is_no_reason() -> None:
    """Who did not wait for a processor comes no sooner by going before others, and holds them up."""
    scene = Scene()
    scene.haste.note(VERY_LATE_NS + 1)
    assert not scene.haste.is_first


def test_where_the_kernel_does_not_count_lateness_is_enough() -> None:
    """It may have been a wait."""
    scene = Scene()
    scene.waited_ns = None
    assert not scene.pass_time()
    scene.haste.note(VERY_LATE_NS + 1)
    assert scene.haste.is_first


def test_waits_add_up_between_two_reviews() -> None:
    """What was waited before a late exec counts with what comes after it, and is forgotten with the review."""
    scene = Scene()
    scene.waited_ns = VERY_LATE_NS // 2
    scene.haste.note(VERY_LATE_NS + 1)
    assert not scene.haste.is_first
    scene.haste.note(VERY_LATE_NS + 1)
    assert not scene.haste.is_first
    scene.haste.note(VERY_LATE_NS + 1)
    assert scene.haste.is_first
    scene = Scene()
    scene.waited_ns = VERY_LATE_NS // 2
    assert not scene.pass_time() and not scene.pass_time() and not scene.pass_time()


def test_a_wait_for_a_processor_is_enough_without_any_exec() -> None:
    """So it is in time for the first one."""
    scene = Scene()
    scene.waited_ns = VERY_LATE_NS
    assert not scene.pass_time()
    scene.waited_ns = VERY_LATE_NS + 1
    assert scene.pass_time()


def test_who_used_too_much_is_not_called_by_one_late_exec() -> None:
    """Until it uses less again."""
    scene = Scene()
    scene.pass_time(share=0.5)
    scene.waited_ns = VERY_LATE_NS + 1
    scene.haste.note(VERY_LATE_NS + 1)
    assert not scene.haste.is_first
    scene.waited_ns = 0
    scene.pass_time()
    scene.waited_ns = VERY_LATE_NS + 1
    scene.haste.note(VERY_LATE_NS + 1)
    assert scene.haste.is_first


def test_the_kernel_counts_our_waits() -> None:
    """Two that want one processor keep each other waiting."""
    before = os.sched_getaffinity(0)
    waits = Waits()
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(0, {min(before)})
        os.sched_setaffinity(other.pid, {min(before)})
        deadline_s = time.monotonic() + 5.0
        while (waits() or 0) <= VERY_LATE_NS:
            assert time.monotonic() < deadline_s
    finally:
        other.kill()
        other.wait()
        os.sched_setaffinity(0, before)


def test_waits_in_line_when_it_uses_too_much() -> None:
    """Whoever takes a third of a processor does not go before others for it."""
    scene = Scene()
    assert scene.pass_time(late=10)
    assert not scene.pass_time(late=10, share=0.5)
    assert scene.pass_time(late=10)


def test_goes_on_in_haste_after_a_burst() -> None:
    """One burst that took too much does not make it late for what follows."""
    scene = Scene()
    assert scene.pass_time(late=10)
    assert not scene.pass_time(share=0.5)
    assert scene.pass_time()


def test_where_it_is_forbidden_it_is_asked_for_once() -> None:
    """Without the capability it goes on like everybody."""
    scene = Scene(allowed=False)
    assert not scene.pass_time(late=10)
    assert not scene.pass_time(late=10)
    assert scene.asked == [True]
