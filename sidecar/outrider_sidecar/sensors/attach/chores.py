"""What the tracer does once a tick, between stops: each part is bounded, none waits.

Waking is what costs when nothing happens, so a calm tick is one read. Any other takes the newest pids, tells of
forks that did not exec, takes a few steps of a sweep, says that the tracer moves, and looks whether the supervisor
does. A supervisor that was stopped is killed: its end ends the tracer, too (PR_SET_PDEATHSIG), and frees everybody.
"""

import gc
import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.sensors.attach.finder import Finder
from outrider_sidecar.sensors.attach.options import TracerOptions
from outrider_sidecar.sensors.attach.outlet import Outlet
from outrider_sidecar.sensors.attach.table import Table
from outrider_sidecar.sensors.attach.tell import Teller
from outrider_sidecar.sensors.attach.tracer import Tracer
from outrider_sidecar.watchdog import Overseer

SWEEP_STEPS: Final = 16
MAX_TOLD: Final = 64
"""Most forks without an exec told of in one tick."""
CALM_TICKS: Final = 5
"""While nothing happens, only each fifth tick does more than look at the newest pid."""


class Chores:
    """Called by the tracer once a tick."""

    def __init__(
        self,
        options: TracerOptions,
        tracer: Tracer,
        table: Table,
        teller: Teller,
        finder: Finder,
        outlet: Outlet,
        heartbeat: Heartbeat,
        *,
        supervisor_pid: int,
    ) -> None:
        self._options = options
        self._tracer = tracer
        self._table = table
        self._teller = teller
        self._finder = finder
        self._outlet = outlet
        self._heartbeat = heartbeat
        self._overseer = Overseer(supervisor_pid, proc=options.proc)
        self._lost_before = heartbeat[Slot.EVENTS_LOST]
        self._engine_starts = heartbeat[Slot.ENGINE_STARTS]
        self._sweep_at = time.monotonic() + options.sweep_s
        self._steps: Iterator[None] = iter(())
        self._waiting_early: set[int] = set()
        self._ticks = 0
        self._has_other_containers = False

    def __call__(self) -> None:
        self._ticks += 1
        if self._finder.sees_nothing_new() and self._table.is_quiet() and self._ticks % CALM_TICKS:
            return
        now_ns = time.monotonic_ns()
        self._heartbeat.beat(Slot.TRACER_BEAT, now_ns)
        if self._overseer.is_gone(self._heartbeat, now_ns):
            self._tracer.stopping = True
        self._tell_of_forks()
        self._release_early()
        self._finder.look_for_new()
        self._sweep(now_ns / 1e9)
        self._table.forget_departed()
        self._outlet.flush()
        self._publish()

    def _tell_of_forks(self) -> None:
        if self._table.fresh:
            before_ns = time.time_ns() - int(self._options.tick_s * 1e9)
            for tracee in list(islice(self._table.fresh.values(), MAX_TOLD)):
                if tracee.forked_at_ns < before_ns:
                    self._teller.started(tracee)

    def _release_early(self) -> None:
        if not self._table.early and not self._waiting_early:
            return
        for tid in self._waiting_early & self._table.early.keys():
            self._tracer.release_early(tid, self._finder.holder_of_parent(tid))
        self._waiting_early = set(self._table.early)

    def _sweep(self, now_s: float) -> None:
        if self._engine_starts != self._heartbeat[Slot.ENGINE_STARTS]:
            self._engine_starts = self._heartbeat[Slot.ENGINE_STARTS]
            self._steps = self._finder.tell_again()
        for _ in islice(self._steps, SWEEP_STEPS):
            pass
        if now_s >= self._sweep_at or self._finder.overrun:
            self._finder.overrun = False
            self._sweep_at = now_s + self._options.sweep_s
            self._steps = self._finder.walk("found")
            gc.collect()

    def _is_pause_left(self) -> bool:
        """Whether process 1 is ECS's pause process, which outlives everybody: others were in other containers.

        Where process 1 is the application itself (a shared PID namespace without a pause) all are in its container.
        """
        first = self._table.by_tid.get(1)
        if first is None or not first.mnt_ns:
            return False
        if not self._has_other_containers:
            processes = self._table.processes()
            self._has_other_containers = any(p.mnt_ns not in (0, first.mnt_ns) for p in processes)
        return self._has_other_containers

    def _publish(self) -> None:
        heartbeat = self._heartbeat
        heartbeat[Slot.TRACED_THREADS] = len(self._table.by_tid)
        heartbeat[Slot.GUARDED] = self._table.process_count + self._finder.polled_count - self._is_pause_left()
        heartbeat[Slot.EVENTS_LOST] = self._lost_before + self._outlet.lost_in_all
        heartbeat[Slot.STOPS] = self._tracer.stops
        heartbeat[Slot.PROCESSES_SEEN] = self._teller.processes_seen
