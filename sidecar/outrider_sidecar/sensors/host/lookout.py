"""The lookout's loop: what became readable, what is due, and nothing else.

The connector's messages are taken as they come, and what will be gone is read at once. They are told of a moment later
(see life.py for why), many at a time, and the file watch is drained just before. So a file's change stands in the pipe
before the exec that follows it, and nobody needs to wait for the file watch. In a storm of changes that takes long: so
while it goes on, too, a program whose start waits to be read is read, and told of the next time.
"""

import gc
import select
import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux.proc_connector import ProcConnector
from outrider_sidecar.sensors.attach.outlet import Outlet
from outrider_sidecar.sensors.host.clock import Clock
from outrider_sidecar.sensors.host.life import Life
from outrider_sidecar.sensors.host.options import LookoutOptions, Marks
from outrider_sidecar.sensors.host.pending import HOLD_NS
from outrider_sidecar.sensors.host.people import People
from outrider_sidecar.sensors.host.tell import Teller
from outrider_sidecar.sensors.host.walk import Walk
from outrider_sidecar.watchdog import Overseer

BUSY_NS: Final = 20_000_000
"""So long after a message only execs wake: the rest is read with them, or at the end of this time."""
CHORES_EVERY_NS: Final = 50_000_000
STEPS: Final = 32
"""Of a walk, between two looks at the connector."""
FORK_TOLD_NS: Final = 20_000_000
"""A process that was forked and started nothing is told of after this."""
MOST_TOLD: Final = 256
RESCAN_EVERY_NS: Final = 500_000_000


class Lookout:
    """The loop and what it keeps."""

    def __init__(
        self,
        options: LookoutOptions,
        connector: ProcConnector,
        marks: Marks,
        life: Life,
        walk: Walk,
        people: People,
        teller: Teller,
        clock: Clock,
        outlet: Outlet,
        heartbeat: Heartbeat,
        *,
        supervisor_pid: int,
    ) -> None:
        self._options = options
        self._connector = connector
        self._marks = marks
        self._life = life
        self._walk = walk
        self._people = people
        self._teller = teller
        self._clock = clock
        self._outlet = outlet
        self._heartbeat = heartbeat
        self._overseer = Overseer(supervisor_pid, proc=options.proc)
        self._lost_before = heartbeat[Slot.EVENTS_LOST]
        self._counts_before = [heartbeat[slot] for slot in (Slot.EXECS_SEEN, Slot.EXECS_COMPLETED, Slot.EXECS_POOR)]
        self._engine_starts = heartbeat[Slot.ENGINE_STARTS]
        self._messages_lost = 0
        self._last_message_ns = time.monotonic_ns()
        self._steps: Iterator[bool] = iter(())
        self._is_walking = False
        self._rescan_at_ns = self._rescanned_ns = 0
        self._sweep_at_ns = time.monotonic_ns() + int(options.sweep_s * 1e9)
        self._chores_at_ns = 0
        self._tell_at_ns = 0
        self._busy_until_ns = 0
        self._tick_ns = int(options.tick_s * 1e9)
        self._urgent = select.poll()
        self.stopping = False

    def run(self) -> None:
        """Look out until `stopping`."""
        execs, busy, calm = select.poll(), select.poll(), select.poll()
        execs.register(self._connector.urgent_fileno(), select.POLLIN)
        self._urgent.register(self._connector.urgent_fileno(), select.POLLIN)
        for fd in (self._connector.urgent_fileno(), *self._marks.filenos()):
            busy.register(fd, select.POLLIN)
            calm.register(fd, select.POLLIN)
        calm.register(self._connector.rest_fileno(), select.POLLIN)
        while not self.stopping:
            now_ns = time.monotonic_ns()
            if self._tell_at_ns:
                execs.poll(self._until_ms(self._tell_at_ns, now_ns))
            elif now_ns < self._busy_until_ns:
                self._gather(busy.poll(self._until_ms(self._busy_until_ns, now_ns)))
            else:
                self._gather(calm.poll(self._until_ms(now_ns + self._tick_ns, now_ns)))
            self.take()
            now_ns = time.monotonic_ns()
            if 0 < self._tell_at_ns <= now_ns:
                self.tell()
            if self._is_walking:
                self._go_on_walking()
            if now_ns >= self._chores_at_ns:
                self._chores_at_ns = now_ns + CHORES_EVERY_NS
                self._do_chores(now_ns)
        self.take()
        self.tell(everything=True)
        self._publish()

    def _gather(self, ready: list[tuple[int, int]]) -> None:
        """What happens to files is told of in a moment, too."""
        if ready and not self._tell_at_ns:
            self._tell_at_ns = time.monotonic_ns() + HOLD_NS

    def _until_ms(self, at_ns: int, now_ns: int) -> float:
        """How long may be slept: not at all where there is something to do."""
        if self._is_walking or self._connector.has_more:
            return 0
        return max(0, at_ns - now_ns) / 1e6

    def take(self) -> None:
        """Take what waits of the connector's messages; it is to be told of in a moment."""
        while True:
            self._receive()
            if not self._connector.has_more:
                break
            if 0 < self._tell_at_ns < time.monotonic_ns():
                self.tell()
        if self._connector.overrun:
            self.tell(everything=True)
            self._tell_loss()

    def _receive(self) -> None:
        messages = self._connector.receive()
        if messages:
            self._life.take(messages)
            self._last_message_ns = messages[-1].at_ns
            self._busy_until_ns = time.monotonic_ns() + BUSY_NS
        self._tell_at_ns = self._tell_at_ns or self._life.ready_ns

    def _take_urgent(self) -> None:
        """Read whoever started a program just now, before he is gone; he is told of later."""
        if self._urgent.poll(0):
            self._receive()

    def tell(self, *, everything: bool = False) -> None:
        """Tell of what is ready, and before it of files.

        What is taken while these are told of waits for the next time: its own files may not have been told of yet.
        """
        began_ns = time.monotonic_ns()
        self._marks.drain(self._outlet.put, self._take_urgent)
        now_ns = time.monotonic_ns()
        self._life.tell(None if everything else began_ns)
        self._outlet.flush()
        self._heartbeat.beat(Slot.TRACER_BEAT, now_ns)
        ready_ns = self._life.ready_ns
        self._tell_at_ns = max(ready_ns, now_ns + HOLD_NS) if ready_ns > 1 else ready_ns

    def _tell_loss(self) -> None:
        """All that was in the buffer has been read: what came after it until now is lost."""
        lost = self._connector.take_losses()
        self._people.suspect_threads()
        if lost == 0:
            return  # told with what the other socket lost
        self._messages_lost += lost or 0
        self._teller.lost_sight("the proc connector's buffer was full", lost, self._last_message_ns)
        if not self._rescan_at_ns:
            self._rescan_at_ns = max(time.monotonic_ns(), self._rescanned_ns + RESCAN_EVERY_NS)
        self._outlet.flush()

    def _go_on_walking(self) -> None:
        """A few steps, and no further than to one that asks for the messages that wait to be read first."""
        for count, must_settle in enumerate(self._steps, 1):
            if must_settle or count == STEPS:
                break
        else:
            self._is_walking = False
        self._outlet.flush()

    def _do_chores(self, now_ns: int) -> None:
        self._heartbeat.beat(Slot.TRACER_BEAT, now_ns)
        self._clock.set()
        self._life.haste.review(now_ns)
        if self._overseer.is_gone(self._heartbeat, now_ns):
            self.stopping = True
        self._tell_of_forks(now_ns)
        self._life.check_leaderless()
        self._look_around(now_ns)
        if not self._tell_at_ns:
            self._marks.drain(self._outlet.put, self._take_urgent)  # known then: in a quiet time nothing happened
        self._outlet.flush()
        self._publish()

    def _tell_of_forks(self, now_ns: int) -> None:
        for live in list(islice(self._people.fresh.values(), MOST_TOLD)):
            if live.born_ns + FORK_TOLD_NS < now_ns:
                self._teller.started(live)

    def _look_around(self, now_ns: int) -> None:
        if self._is_walking:
            return
        if self._engine_starts != self._heartbeat[Slot.ENGINE_STARTS]:
            self._engine_starts = self._heartbeat[Slot.ENGINE_STARTS]
            self._steps = self._walk.tell_again()
        elif self._rescan_at_ns and now_ns >= self._rescan_at_ns:
            self._rescan_at_ns, self._rescanned_ns = 0, now_ns
            self._steps = self._walk.again(after_loss=True)
        elif now_ns >= self._sweep_at_ns:
            self._sweep_at_ns = now_ns + int(self._options.sweep_s * 1e9)
            self._steps = self._walk.again(after_loss=False)
            gc.collect()
        else:
            return
        self._is_walking = True

    def _publish(self) -> None:
        heartbeat, counts = self._heartbeat, self._teller.counts
        heartbeat[Slot.GUARDED] = len(self._people.by_pid)
        heartbeat[Slot.PROCESSES_SEEN] = self._teller.processes_seen
        heartbeat[Slot.EVENTS_LOST] = self._lost_before + self._outlet.lost_in_all + self._messages_lost
        seen, completed, poor = self._counts_before
        heartbeat[Slot.EXECS_SEEN] = seen + counts.seen
        heartbeat[Slot.EXECS_COMPLETED] = completed + counts.completed
        heartbeat[Slot.EXECS_POOR] = poor + counts.poor
