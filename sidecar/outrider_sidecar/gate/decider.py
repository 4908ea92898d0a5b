"""The gate: a process that the kernel asks before a guarded container's program starts.

A program stands still whenever this file runs, so there is one loop, one thread, and nothing in it that waits. What is
old in its container goes on at once, and the kernel is told not to ask about that file again. What is not is the
engine's to judge, within a budget; whoever's budget has run out goes on. So does everybody when this process ends,
however it ends. It watches the supervisor in turn, as the tracer does.
"""

import gc
import os
import resource
import select
import signal
import sys
import time
from collections import OrderedDict
from typing import Final

from msgspec import Struct

from outrider_sidecar.gate.channel import Channel
from outrider_sidecar.gate.ledger import Count
from outrider_sidecar.gate.limit import Limit
from outrider_sidecar.gate.marks import Marks
from outrider_sidecar.gate.options import GateOptions, Pair
from outrider_sidecar.gate.records import Answer, Done, Guarded, Hello, Outcome, Question, Roster, read_to_gate
from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux.permission import READ_EVENTS, Asked, ExecPermission
from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.log import say
from outrider_sidecar.watchdog import Overseer
from outrider_wire.errors import Unavailable, WireError
from outrider_wire.text import clean_text

TICK_S: Final = 0.1
MAX_PENDING: Final = 64
"""Most starts being decided at once; more go on at once, and are counted."""
FILES_WANTED: Final = 1024
"""Descriptors: without room for one more the kernel refuses the start by itself."""
NICENESS: Final = -10
FIRST: Final = (1, 2)
"""The machine's first process and the first of the kernel's own: in the machine's own mount namespace."""


class Pending(Struct):
    """A start that waits for the engine's answer."""

    fd: int
    deadline_ns: int
    ctime_ns: int
    mtime_ns: int


class Gate:
    """Answers the kernel. `number` says which gate this is: each start of the process is another."""

    def __init__(self, options: GateOptions, pair: Pair, number: int) -> None:
        self._group = ExecPermission()
        self._channel = Channel(pair.gate_fd)
        self._ledger = pair.ledger
        self._marks = Marks(self._group, proc=options.proc)
        self._limit = Limit(options.limit)
        self._options = options
        self._gate = number
        self._last_number = 0
        self._pending: OrderedDict[int, Pending] = OrderedDict()
        self._spared = {0, *(self._namespace(pid) for pid in (os.getpid(), *FIRST))}
        self._poller = select.poll()
        self._poller.register(self._group.fileno(), select.POLLIN)
        self._ledger[Count.COVERED] = self._ledger[Count.UNCOVERED] = 0
        self._channel.send(Hello(number))

    def turn(self, timeout_s: float) -> None:
        """Answer what is there, waiting for it no longer than that, and let go whose time is up."""
        wanted = select.POLLIN | (select.POLLOUT if self._channel.has_waiting else 0)
        self._poller.register(self._channel.fileno(), wanted)
        self._poller.poll(self._wait_ms(timeout_s))
        self._channel.flush()
        for data in self._channel.receive():
            self._take(data)
        for asked in self._read():
            self._consider(asked)
        self._let_go_late(time.monotonic_ns())
        self._cover_next()

    def _read(self) -> list[Asked]:
        try:
            return self._group.read()
        except OSError:
            self._ledger.add(Count.UNREADABLE)
            return []

    def _wait_ms(self, timeout_s: float) -> float:
        if self._marks.has_more:
            return 0.0
        if not self._pending:
            return timeout_s * 1e3
        first = next(iter(self._pending.values()))
        return max(0.0, min(timeout_s * 1e3, (first.deadline_ns - time.monotonic_ns()) / 1e6))

    def _take(self, data: bytes) -> None:
        try:
            record = read_to_gate(data)
        except WireError as error:
            say("a record from the engine was not understood", reason=str(error))
            return
        if isinstance(record, Roster):
            self._keep(record.containers)
        elif record.gate == self._gate:
            self._answered(record)

    def _keep(self, roster: list[Guarded]) -> None:
        if not self._ledger[Count.DISARMED_NS]:
            self._marks.keep([guarded for guarded in roster if guarded.mnt_ns not in self._spared])

    def _cover_next(self) -> None:
        if self._marks.has_more:
            self._marks.cover_next()
            self._ledger[Count.COVERED] = len(self._marks)
            self._ledger[Count.UNCOVERED] = self._marks.uncovered

    def _consider(self, asked: Asked) -> None:
        """One event of the kernel's; its descriptor is closed here, or when it is answered."""
        if not asked.is_question:
            self._group.mind(asked.fd)  # somebody wrote to a file that is let go without a question
            os.close(asked.fd)
            return
        self._ledger.add(Count.ASKED)
        question = self._question(asked)
        if question is None:
            self._group.answer(asked.fd, deny=False)
        elif len(self._pending) >= MAX_PENDING or not self._channel.send(question):
            self._ledger.add(Count.CROWDED)
            self._group.answer(asked.fd, deny=False)
        else:
            self._ledger.add(Count.PUT)
            self._pending[question.number] = Pending(
                asked.fd, question.deadline_ns, question.file.ctime_ns, question.file.mtime_ns
            )

    def _question(self, asked: Asked) -> Question | None:
        """What the engine is to be asked; None where it need not be, because the program may start."""
        if not asked.pid or self._ledger[Count.DISARMED_NS]:
            return None
        try:
            status = os.fstat(asked.fd)
            if status.st_nlink and self._marks.is_old_everywhere(status.st_ctime_ns):
                self._let_be(asked.fd, status.st_ctime_ns)
                return None
            mnt_ns = self._namespace(asked.pid)
            baseline_ns = self._marks.baseline_ns(mnt_ns)
            if baseline_ns is None or (status.st_nlink and status.st_ctime_ns < baseline_ns):
                return None
            path = clean_text(os.readlink(b"/proc/self/fd/%d" % asked.fd))
        except OSError:
            return None
        self._last_number += 1
        now_ns = time.monotonic_ns()
        deadline_ns = now_ns + self._options.budget_ms * 1_000_000
        facts = file_facts(path, status)
        return Question(self._gate, self._last_number, asked.pid, mnt_ns, facts, time.time_ns(), deadline_ns)

    def _let_be(self, fd: int, ctime_ns: int) -> None:
        """Have the kernel ask no more about a file, unless it was changed just before it was told so."""
        if self._group.ignore(fd):
            if os.fstat(fd).st_ctime_ns == ctime_ns:
                self._ledger.add(Count.LET_BE)
            else:
                self._group.mind(fd)

    def _answered(self, answer: Answer) -> None:
        pending = self._pending.pop(answer.number, None)
        if pending is None:
            if answer.deny:
                self._channel.send(Done(self._gate, answer.number, "late"))
        elif answer.deny:
            self._channel.send(Done(self._gate, answer.number, self._deny(pending)))
        else:
            if answer.is_old and self._marks.is_old_everywhere(pending.mtime_ns):
                self._let_be(pending.fd, pending.ctime_ns)
            self._group.answer(pending.fd, deny=False)

    def _deny(self, pending: Pending) -> Outcome:
        now_ns = time.monotonic_ns()
        if now_ns >= pending.deadline_ns:
            self._ledger.add(Count.LATE)
            self._group.answer(pending.fd, deny=False)
            return "late"
        if not self._limit.allows(now_ns):
            self._disarm()
        if self._ledger[Count.DISARMED_NS]:
            self._group.answer(pending.fd, deny=False)
            return "let go"
        self._ledger.add(Count.DENIED)
        self._group.answer(pending.fd, deny=not self._options.dry_run)
        return "denied"

    def _disarm(self) -> None:
        """Refuse nobody any more, for good: the ledger outlives this process."""
        if not self._ledger[Count.DISARMED_NS]:
            self._ledger[Count.DISARMED_NS] = time.time_ns()
            self._group.uncover_all()
            self._marks.keep([])
            self._ledger[Count.COVERED] = 0

    def _let_go_late(self, now_ns: int) -> None:
        while self._pending:
            number, pending = next(iter(self._pending.items()))
            if now_ns < pending.deadline_ns:
                return
            del self._pending[number]
            self._ledger.add(Count.LATE)
            self._group.answer(pending.fd, deny=False)

    def _namespace(self, pid: int) -> int:
        """The mount namespace of a process; 0 where it is gone."""
        try:
            return os.stat(f"{self._options.proc}/{pid}/ns/mnt").st_ino
        except OSError:
            return 0


def run_gate(
    options: GateOptions, pair: Pair, heartbeat: Heartbeat, *, supervisor_pid: int = 0, generation: int = 1
) -> int:
    """Answer the kernel until told to stop (SIGTERM, or the supervisor's death).

    `supervisor_pid` 0 means that nobody is to be watched. Where the kernel does not ask, that is said, and this waits.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _go_first()
    gate = _open_gate(options, pair, generation)
    overseer = Overseer(supervisor_pid, proc=options.proc)
    gc.freeze()
    look_at_s = 0.0
    while True:
        if gate is not None:
            gate.turn(TICK_S)
        else:
            time.sleep(TICK_S)
        now_ns = time.monotonic_ns()
        heartbeat.beat(Slot.GATE_BEAT, now_ns)
        if now_ns / 1e9 >= look_at_s:
            look_at_s = now_ns / 1e9 + TICK_S
            if overseer.is_gone(heartbeat, now_ns):
                return 0


def _go_first() -> None:
    """Somebody stands still while this process waits for a processor."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    except PermissionError:
        pass  # without CAP_SYS_NICE it takes its turn


def _open_gate(options: GateOptions, pair: Pair, number: int) -> Gate | None:
    try:
        if not _make_room():
            raise Unavailable("with so few open files the kernel would refuse starts by itself", _ROOM)
        return Gate(options, pair, number)
    except Unavailable as error:
        say("no start of a program can be refused", reason=error.reason, remedy=error.remedy)
        return None


_ROOM: Final = f"let the process open {FILES_WANTED} files (LimitNOFILE)"


def _make_room() -> bool:
    """Whether there is room for every descriptor that may be open at once, made where need be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES_WANTED:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_WANTED, max(hard, FILES_WANTED)))
        except (ValueError, OSError):
            return soft >= 4 * (MAX_PENDING + READ_EVENTS)
    return True
