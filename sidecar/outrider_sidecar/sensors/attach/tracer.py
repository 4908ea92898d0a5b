"""The tracer's main loop: wait for a stop, learn what it says, let go.

A guarded program is standing still whenever this file runs: no sleep, no blocking call, no work that can be done
later. Between stops a timer signal interrupts waitpid(2) each tick; what is not urgent happens there (`chores`).

A spawn comes as: the parent's fork event, the child's first stop, the child's exec, the child's exit, and SIGCHLD
on its way to the parent. Facts are read at the exec and exit stops alone, and made into records and written when
the program runs again: some 50 µs later, which only a tracer's own death could make never. A process with one
thread is let go for good at its exit stop, so that its parent need not wait for us to reap it.
"""

import gc
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Final

from outrider_sidecar.linux import ptrace
from outrider_sidecar.sensors.attach.options import TracerOptions
from outrider_sidecar.sensors.attach.release import ReleaseList
from outrider_sidecar.sensors.attach.table import Table, Tracee
from outrider_sidecar.sensors.attach.tell import Teller

STOPPED = 0x7F


SPINS: Final = 200
"""How often a further report is asked for before the tracer sleeps, some 250 us: in a storm of starts the next stop
comes sooner than a sleeping core wakes. Only after a busy tick, and where there is more than one core."""
BUSY_STOPS: Final = 20
"""Stops in a tick that make it a busy one: some 200 programs started a second."""
CALM_AFTER_TICKS: Final = 100
CALM_STRETCH: Final = 1.5
"""After two seconds without any stop a tick is a half longer: waking is all that an idle tracer costs."""


class Tracer:
    """Handles stops. `is_off` says of (mount namespace, pid) whether that container is left alone."""

    def __init__(
        self,
        options: TracerOptions,
        table: Table,
        teller: Teller,
        releases: ReleaseList,
        is_off: Callable[[int, int], bool],
    ) -> None:
        self._proc = options.proc
        self._young_ns = options.young_ns or time.time_ns()
        self._tick_s = options.tick_s
        self._table = table
        self._teller = teller
        self._releases = releases
        self._is_off = is_off
        self._tick_due = False
        self.stopping = False
        self.stops = 0
        self._on_event: dict[int, Callable[[int, int], None]] = {
            0: self._signalled,
            ptrace.EVENT_FORK: self._forked,
            ptrace.EVENT_VFORK: self._forked,
            ptrace.EVENT_CLONE: self._cloned,
            ptrace.EVENT_EXEC: self._executed,
            ptrace.EVENT_EXIT: self._exiting,
            ptrace.EVENT_STOP: self._stopped,
        }

    def run(self, first_steps: Iterable[object], chores: Callable[[], None]) -> None:
        """Trace until `stopping` is set, with `chores` once a tick. Takes over SIGALRM and SIGCHLD.

        `first_steps` are taken one by one before, with every stop handled in between.
        """
        signal.signal(signal.SIGALRM, self._note_tick)
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
        signal.setitimer(signal.ITIMER_REAL, self._tick_s, self._tick_s)
        gc.freeze()
        gc.disable()  # a collection takes milliseconds in which a program would stand; `chores` runs it
        wait_soon, handle, stops_before = ptrace.wait_soon, self._handle, -1
        for _ in first_steps:
            self._catch_up()
        spins, most_spins = 0, SPINS if len(os.sched_getaffinity(0)) > 1 else 0
        while not self.stopping:
            tid, status = wait_soon(spins)
            if tid > 0:
                handle(tid, status)
            elif self.stops == stops_before:
                self._rest(chores)
            if self._tick_due:
                self._tick_due = False
                spins = most_spins if self.stops - stops_before >= BUSY_STOPS else 0
                stops_before = self.stops
                chores()
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _rest(self, chores: Callable[[], None]) -> None:
        """Wait for the next stop where the last tick saw none: a timed wait wakes at half the cost of a timer signal.

        SIGCHLD is blocked, so one that came before the wait ends it at once.
        """
        signal.setitimer(signal.ITIMER_REAL, 0)
        calm_ticks = 0
        while not self.stopping:
            calm_ticks += 1
            pause_s = self._tick_s if calm_ticks < CALM_AFTER_TICKS else self._tick_s * CALM_STRETCH
            if signal.sigtimedwait((signal.SIGCHLD,), pause_s) is not None:
                break
            chores()
        signal.setitimer(signal.ITIMER_REAL, self._tick_s, self._tick_s)

    def _catch_up(self) -> None:
        while True:
            tid, status = ptrace.wait_any(ptrace.WALL | ptrace.WNOHANG)
            if tid <= 0:
                return
            self._handle(tid, status)

    def let_go(self) -> None:
        """Detach whoever is in a stop right now, with the signal it stopped for; the rest goes when we end.

        Ending interrupts nobody; PTRACE_INTERRUPT, the only other way, makes calls like epoll_wait fail with EINTR.
        """
        while True:
            tid, status = ptrace.wait_any(ptrace.WALL | ptrace.WNOHANG)
            if tid <= 0:
                break
            if status & 0xFF == STOPPED and not status >> 16:
                ptrace.detach(tid, (status >> 8) & 0xFF)
        self._teller.flush()

    def release_early(self, tid: int, parent: Tracee | None) -> None:
        """Let a child go on whose parent's event never came: the parent was killed between the two."""
        number = self._table.early.pop(tid, None)
        if number is not None:
            self._table.add_process(Tracee(tid, parent=parent, forked_at_ns=time.time_ns()))
            ptrace.set_options(tid, ptrace.LEADER_OPTIONS)
            self._go_on(tid, number)

    def _note_tick(self, _number: int, _frame: object) -> None:
        self._tick_due = True

    def _handle(self, tid: int, status: int) -> None:
        if status & 0xFF == STOPPED:
            self.stops += 1
            handler = self._on_event.get(status >> 16)
            if handler is not None:
                handler(tid, (status >> 8) & 0xFF)
            else:
                ptrace.resume(tid)
        else:
            self._ended(tid, status)

    def _signalled(self, tid: int, number: int) -> None:
        ptrace.resume(tid, number)

    def _stopped(self, tid: int, number: int) -> None:
        table = self._table
        if tid not in table.by_tid:
            table.early[tid] = number
            return
        if table.first_options and (options := table.first_options.pop(tid, 0)):
            ptrace.set_options(tid, options)
        self._go_on(tid, number)

    def _go_on(self, tid: int, number: int) -> None:
        if number in ptrace.GROUP_STOPS:
            ptrace.listen(tid)
        else:
            ptrace.resume(tid)

    def _forked(self, tid: int, _number: int) -> None:
        child_tid = ptrace.event_message(tid)
        forker = self._table.by_tid.get(tid)
        if child_tid and forker is not None:
            self._begin(child_tid, ptrace.LEADER_OPTIONS if tid != forker.pid else 0)
            ptrace.resume(tid)
            self._table.add_process(Tracee(child_tid, parent=forker, forked_at_ns=time.time_ns()))
        else:
            ptrace.resume(tid)

    def _cloned(self, tid: int, number: int) -> None:
        child_tid = ptrace.event_message(tid)
        owner = self._table.by_tid.get(tid)
        if not child_tid or owner is None:
            ptrace.resume(tid)
        elif os.path.exists(f"{self._proc}/{owner.pid}/task/{child_tid}"):
            self._table.add_thread(child_tid, owner)
            self._begin(child_tid, ptrace.THREAD_OPTIONS if tid == owner.pid else 0)
            ptrace.resume(tid)
        else:
            self._forked(tid, number)

    def _begin(self, tid: int, options: int) -> None:
        """Let a new tracee go if its first stop is there already; `options` are those it should not inherit, or 0."""
        number = self._table.early.pop(tid, None)
        if number is None:
            if options:
                self._table.first_options[tid] = options
            return
        if options:
            ptrace.set_options(tid, options)
        self._go_on(tid, number)

    def _executed(self, tid: int, _number: int) -> None:
        tracee = self._table.by_tid.get(tid)
        if tracee is None:
            ptrace.resume(tid)
            return
        if tracee.tids:
            if ptrace.event_message(tid) != tid:
                ptrace.set_options(tid, ptrace.LEADER_OPTIONS)
            self._table.drop_other_threads(tracee)
        mnt_ns_before = tracee.mnt_ns
        captured = self._teller.capture(tracee)
        if captured.mnt_ns != mnt_ns_before and self._is_off(captured.mnt_ns, tid):
            ptrace.detach(tid)
            self._teller.executed(tracee, captured)
            self._table.drop_process(tracee)
        elif reason := self._releases.reason(captured.exe_path):
            ptrace.detach(tid)
            self._teller.executed(tracee, captured)
            self._releases.add(tid, captured.process.start_ticks)
            self._teller.released(tracee, reason)
            self._table.drop_process(tracee)
        elif captured.is_telling(self._young_ns):
            self._teller.executed(tracee, captured)  # first: what it runs may be meant to kill us
            ptrace.resume(tid)
        else:
            ptrace.resume(tid)
            self._teller.executed(tracee, captured)

    def _exiting(self, tid: int, _number: int) -> None:
        tracee = self._table.by_tid.get(tid)
        if tracee is None or tracee.pid != tid:
            ptrace.resume(tid)
            return
        self._teller.hold_exit_facts(tracee)
        if tracee.tids:  # other threads may live on, or exec and take this pid: its end is what waitpid says
            ptrace.resume(tid)
            return
        status = ptrace.event_message(tid)
        if status is not None and ptrace.detach(tid):
            self._teller.exited(tracee, status)
            self._table.drop_process(tracee)

    def _ended(self, tid: int, status: int) -> None:
        tracee = self._table.by_tid.get(tid)
        if tracee is None:
            self._table.early.pop(tid, None)
        elif tid != tracee.pid:
            self._table.drop_thread(tid, tracee)
        else:
            self._teller.exited(tracee, status)
            self._table.drop_process(tracee)
