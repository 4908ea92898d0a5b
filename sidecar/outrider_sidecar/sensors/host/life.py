"""From the connector's messages to what is known: who was forked by whom, who started what, who ended.

`take` goes through the messages that wait and reads at once what may be gone in a moment. `tell` makes events of it, in
the order of the messages, a moment later. In between the file watch is drained, so that what happened to files before
an exec is told before it, and what fanotify knows of programs that are gone can be asked.

Facts that shape this file:

- A message may be read long after what it tells of. Where a later exec or the end of the same process waits already,
  nothing of the earlier program can be read: what /proc says is of the later one.
- The exec message comes some 100 us after the new program is in place. So what was read for one exec may be of the next
  one, whose message is yet to come; that is why nothing is told for some milliseconds, and longer where it was read
  late. Where a stack begins is random, and tells two programs apart: the same place twice means that the same program
  was read twice. What the process opened to be executed tells, too (see facts.py).
- A pid may have been given to another by then: what was read counts only if the start time is that of the fork.
- What was read of a process by looking (`known_ns`) is newer than messages of an earlier time: those are left out.
- Whoever enters a container does so without a message; his first exec there is what is told, with no parent.
"""

import os
import select
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from outrider_sidecar.clocks import started_at_ns
from outrider_sidecar.decode.script import is_linker
from outrider_sidecar.linux.execfacts import Captured, FactReader
from outrider_sidecar.linux.proc_connector import LifeMessage
from outrider_sidecar.linux.procfs import read_stat
from outrider_sidecar.sensors.host.census import Census
from outrider_sidecar.sensors.host.clock import Clock
from outrider_sidecar.sensors.host.facts import is_one_start
from outrider_sidecar.sensors.host.haste import Haste
from outrider_sidecar.sensors.host.options import LookoutOptions, Marks
from outrider_sidecar.sensors.host.pending import Pending, is_of_next, look_ahead
from outrider_sidecar.sensors.host.people import Live, People
from outrider_sidecar.sensors.host.tell import Teller
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import ProcessId

SENSOR: Final = "connector"
MAX_LEADERLESS: Final = 256
MAX_PENDING: Final = 8_192
"""With more than that, what comes first is told whether it is ready or not."""
MAX_ANCESTORS: Final = 8
"""How far up it is looked whether a process is one of Outrider's own."""


class Life:
    """Follows processes by their messages."""

    def __init__(
        self,
        options: LookoutOptions,
        reader: FactReader,
        people: People,
        census: Census,
        marks: Marks,
        clock: Clock,
        teller: Teller,
        *,
        supervisor_pid: int = 0,
    ) -> None:
        self._guard_host = options.guard_host
        self._proc = options.proc
        self._reader = reader
        self._people = people
        self._census = census
        self._marks = marks
        self._clock = clock
        self._teller = teller
        self.haste = Haste()
        self._own = frozenset((supervisor_pid or os.getpid(), os.getpid()))
        self._pending: deque[Pending] = deque()
        self._last_exec: dict[int, Pending] = {}
        self._leaderless: dict[int, tuple[Live, LifeMessage]] = {}

    def take(self, messages: Sequence[LifeMessage]) -> None:
        """Go through messages, and read what they tell of."""
        for message, is_over in look_ahead(messages):
            if message.what == "exec":
                self._executed(message, is_over=is_over)
            elif message.what == "fork":
                self._forked(message)
            elif message.what == "thread":
                if (live := self._people.by_pid.get(message.pid)) is not None:
                    live.threaded = True
            else:
                self._exited(message)

    def tell(self, now_ns: int | None = None) -> None:
        """Tell of what was taken, in its order, as far as it is ready at `now_ns`; of all without."""
        later = Counter(each.message.pid for each in self._pending if each.message.what == "exec")
        while self._pending and (now_ns is None or self._pending[0].ready_ns <= now_ns):
            each = self._pending.popleft()
            message = each.message
            if message.what == "exec":
                later[message.pid] -= 1
                self._tell_exec(each, later[message.pid])
            elif each.live is not None:
                self._teller.exited(each.live, message.status, message.at_ns)
            else:
                self._tell_end_of_stranger(message)

    @property
    def ready_ns(self) -> int:
        """When there is something to tell of, of CLOCK_MONOTONIC; 0 for nothing, 1 for at once."""
        if len(self._pending) > MAX_PENDING:
            return 1
        return self._pending[0].ready_ns if self._pending else 0

    def has_untold(self, pid: int) -> bool:
        """Whether a start of a process was taken that is not told of yet."""
        return pid in self._last_exec

    def identify(self, pid: int) -> ProcessId | None:
        """Who has a pid, or had it until a moment ago; he is told of first."""
        live = self._people.by_pid.get(pid)
        if live is None:
            return None
        self._teller.started(live)
        return live.process

    def is_own(self, pid: int) -> bool:
        """Whether a process is one of Outrider's own, or descends from one."""
        for _ in range(MAX_ANCESTORS):
            if pid in self._own:
                return True
            try:
                pid = read_stat(pid, proc=self._proc).ppid
            except (ProcessGone, Unavailable, ValueError):
                return False
        return False

    def is_followed(self, mnt_ns: int, pid: int) -> bool:
        """Whether a process whose mount namespace was just read is to be told of."""
        if self._census.is_container(mnt_ns, pid):
            return True
        return self._guard_host and mnt_ns not in (0, self._census.own_ns) and not self.is_own(pid)

    def parent_of(self, pid: int, mnt_ns: int) -> Live | None:
        """The followed parent of a process, unless that one is outside of its container."""
        try:
            parent = self._people.by_pid.get(read_stat(pid, proc=self._proc).ppid)
        except (ProcessGone, Unavailable, ValueError):
            return None
        is_inside = parent is not None and (parent.mnt_ns == mnt_ns or mnt_ns not in self._census.containers())
        return parent if is_inside else None

    def place(self, live: Live, mnt_ns: int) -> None:
        """Put a process into its mount namespace; a new container's files are watched from now on."""
        before, live.mnt_ns = live.mnt_ns, mnt_ns
        if self._census.is_container(mnt_ns, live.pid):
            if not live.told and live.parent is not None and not self._census.is_counted(live.parent.mnt_ns):
                live.parent = None  # it came from outside
            if self._census.enter(mnt_ns):
                self._marks.add_container(mnt_ns, live.pid, self._began_ns(live))
                self._census.note_watched(mnt_ns, time.monotonic_ns())
        if before != mnt_ns and self._census.is_counted(before):
            self._teller.left(before)

    def check_leaderless(self) -> None:
        """See which processes whose first thread ended before the others have ended by now."""
        for pid, (live, message) in list(self._leaderless.items()):
            if not _has_ended(live.pidfd):
                continue
            self._forget_leaderless(live)
            if self._people.by_pid.get(pid) is live:
                live.ended = True
                self._pending.append(Pending(message, live))

    def end(self, live: Live, at_ns: int) -> None:
        """A process is gone, and its end was not told of."""
        self._forget_leaderless(live)
        live.ended = True
        self._teller.exited(live, None, at_ns)

    def _forked(self, message: LifeMessage) -> None:
        known = self._people.by_pid.get(message.pid)
        if known is not None:
            if message.at_ns <= known.known_ns:
                return
            if not known.ended:
                self.end(known, message.at_ns)
        parent = self._people.by_pid.get(message.parent)
        if parent is None:
            self._people.note_stranger(message.pid, message.at_ns)
            return
        live = Live(message.pid, message.at_ns, parent=parent, born_ns=message.at_ns)
        if self._people.add(live) and self._census.is_counted(live.mnt_ns):
            self._census.enter(live.mnt_ns)

    def _executed(self, message: LifeMessage, *, is_over: bool) -> None:
        live = self._people.by_pid.get(message.pid)
        if live is None:
            live = self._meet(message, is_over=is_over)
        elif message.at_ns <= live.known_ns:
            return
        if live is None:
            return
        after_ns = live.known_ns if live.known_ns < message.at_ns else live.born_ns
        live.known_ns = message.at_ns
        live.threaded = False
        self._forget_leaderless(live)
        began_ns = time.monotonic_ns()
        self.haste.note(began_ns - message.at_ns)
        captured = self._gone(live) if is_over else self._capture(live)
        captured.at_ns = self._clock.epoch(message.at_ns)
        before = self._last_exec.get(live.pid)
        if before is not None and before.live is live and is_of_next(before, message, captured):
            before.captured = self._gone(live, at_ns=before.captured.at_ns if before.captured else 0)
        each = Pending(message, live, captured, after_ns=after_ns, read_ns=(began_ns, time.monotonic_ns()))
        self._last_exec[live.pid] = each
        self._pending.append(each)

    def _exited(self, message: LifeMessage) -> None:
        live = self._people.by_pid.get(message.pid)
        if live is None:
            self._people.strangers.pop(message.pid, None)
            self._pending.append(Pending(message, None))
            return
        if message.at_ns <= live.known_ns or live.ended:
            return
        if live.threaded and self._lives_on(live):
            self._leaderless[live.pid] = (live, message)
            return
        live.ended = True
        self._pending.append(Pending(message, live))

    def _meet(self, message: LifeMessage, *, is_over: bool) -> Live | None:
        """Somebody not followed starts a program: whether he is in a container now."""
        mnt_ns = self._census.read_namespace(message.pid)
        if not mnt_ns:
            self._pending.append(Pending(message, None, after_ns=self._people.strangers.get(message.pid, 0)))
            return None
        if mnt_ns == self._census.host_ns and not self._guard_host:
            return None
        if not self.is_followed(mnt_ns, message.pid):
            return None
        born_ns = self._people.strangers.get(message.pid, 0)
        if is_over and mnt_ns != self._census.host_ns:  # he is in a container now: was he, when he started this?
            self._pending.append(Pending(message, None, after_ns=born_ns))
            return None
        live = Live(message.pid, message.at_ns, parent=self.parent_of(message.pid, mnt_ns), born_ns=born_ns)
        live.mnt_ns, live.met = 0, True
        if not self._people.add(live):
            return None
        self.place(live, mnt_ns)
        return live

    def _tell_exec(self, each: Pending, later: int) -> None:
        if each.live is not None and each.captured is not None:
            if self._last_exec.get(each.live.pid) is each:
                del self._last_exec[each.live.pid]
            self._tell_program(each, each.live, each.captured, later, is_late=each.is_late)
            return
        live = self._place_gone(each.message, each.after_ns, later)
        if live is None:
            if not later:
                self._marks.forget(each.message.pid)  # it is of this start, and not of the next one
        else:
            captured = self._gone(live, at_ns=self._clock.epoch(each.message.at_ns))
            self._tell_program(each, live, captured, later, is_late=True)

    def _tell_program(self, each: Pending, live: Live, captured: Captured, later: int, *, is_late: bool) -> None:
        if live.met and not later:  # what it opened for a start that nobody could place stands before this one's
            is_late = False
        live.met = False
        self._teller.executed(
            live, captured, at_ns=each.message.at_ns, after_ns=each.after_ns, later=later, is_late=is_late
        )

    def _place_gone(self, message: LifeMessage, born_ns: int, later: int) -> Live | None:
        """One who was not seen where he was when he started something: where it opened that may tell."""
        programs = [file for file in self._marks.opened_by(message.pid) if not is_linker(file.path)]
        if len(programs) <= later:
            return None
        mnt_ns = self._marks.opened_in(message.pid)
        if not self._census.saw_opens(mnt_ns, born_ns):
            is_certain = born_ns > 0 and not later and is_one_start(self._marks.opened_by(message.pid))
            if not is_certain or not self._census.saw_opens_of(mnt_ns, message.at_ns):
                return None
        live = self._people.by_pid.get(message.pid)
        if live is not None:
            return live if live.mnt_ns == mnt_ns else None
        live = Live(message.pid, message.at_ns, born_ns=born_ns)
        if not self._people.add(live):
            return None
        self._census.enter(mnt_ns)
        live.mnt_ns = mnt_ns
        return live

    def _tell_end_of_stranger(self, message: LifeMessage) -> None:
        """The end of one who was not followed when its message came, and perhaps is by now."""
        live = self._people.by_pid.get(message.pid)
        if live is not None and live.known_ns < message.at_ns:
            self._teller.exited(live, message.status, message.at_ns)
        else:
            self._teller.forget(message.pid)

    def _capture(self, live: Live) -> Captured:
        known = live.process
        inside = self._census.is_counted(live.mnt_ns)
        captured = self._reader.capture(
            live.pid,
            start_ticks=known.start_ticks if known else 0,
            mnt_ns=(live.mnt_ns, live.exe[0]) if inside else (0, 0),
            stdio=live.stdio,
        )
        self._reader.directories.close(live.pid)
        if captured.birth is None:
            return captured
        if not self._is_same(live, captured.birth.start_ticks):
            return self._gone(live)
        live.process = live.process or captured.process
        live.stdio = captured.stdio
        if captured.exe_status is not None:
            live.exe = (captured.exe_status.st_dev, captured.exe_status.st_ino)
        if captured.mnt_ns and captured.mnt_ns != live.mnt_ns:
            self.place(live, captured.mnt_ns)
        return captured

    def _gone(self, live: Live, *, at_ns: int = 0) -> Captured:
        captured = Captured(live.pid, "exec", live.process.start_ticks if live.process else 0, SENSOR)
        captured.at_ns = at_ns or captured.at_ns
        captured.missing.append("process")
        return captured

    def _is_same(self, live: Live, start_ticks: int) -> bool:
        if live.process is not None:
            return abs(live.process.start_ticks - start_ticks) <= 1
        return not live.born_ns or self._clock.is_same_start(start_ticks, live.born_ns)

    def _began_ns(self, live: Live) -> int:
        """When the container began whose first process this is: at its first exec, or it was found running."""
        if live.told and live.process is not None:
            return started_at_ns(live.process)
        return self._clock.epoch(live.known_ns)

    def _lives_on(self, live: Live) -> bool:
        """Whether other threads of a process go on, whose first thread ended."""
        try:
            live.pidfd = os.pidfd_open(live.pid)
        except OSError:
            return False
        if len(self._leaderless) < MAX_LEADERLESS and not _has_ended(live.pidfd):
            return True
        self._forget_leaderless(live)
        return False

    def _forget_leaderless(self, live: Live) -> None:
        self._leaderless.pop(live.pid, None)
        if live.pidfd >= 0:
            os.close(live.pidfd)
            live.pidfd = -1


def _has_ended(pidfd: int) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))
