"""The engine's side of the gate: takes its questions, has them judged in the engine's thread, tells what came of it.

A thread reads who wants to start a program, and the engine's thread judges it ahead of everything that is queued. Where
the file watch may yet have something to tell of the file, the question is judged again for some milliseconds before the
program is let go. What this has not answered in time the gate lets go by itself.
"""

import os
import select
import threading
import time
from collections import OrderedDict, deque
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from outrider_rules import RuleSet
from outrider_sidecar.folding import Folding
from outrider_sidecar.gate.channel import Channel
from outrider_sidecar.gate.findings import disarmed_finding, refusal_finding
from outrider_sidecar.gate.ledger import Count
from outrider_sidecar.gate.options import GateOptions, Pair
from outrider_sidecar.gate.preview import Attempt, AttemptReader, Preview
from outrider_sidecar.gate.records import Answer, Done, Guarded, Hello, Question, Roster, read_to_engine
from outrider_sidecar.gate.verdict import Verdict, judge
from outrider_sidecar.log import say
from outrider_sidecar.world.containers import Container
from outrider_wire.errors import WireError
from outrider_wire.events import SightLost

if TYPE_CHECKING:
    from outrider_sidecar.fields.context import Context
    from outrider_sidecar.guard import Guard

SENSE: Final = "respond"
AGAIN_S: Final = 0.003
"""How long until a start is judged again that the file watch may have something to tell about."""
PATIENCE: Final = 0.5
"""Which part of the budget that may take."""
ROSTER_EVERY_S: Final = 10.0
"""The roster is told anew that often, though nothing of it has changed: mounts may have."""
SETTLED_NS: Final = 3_000_000_000
"""A container that was seen so long ago is known as well as it will be."""
LOOK_S: Final = 0.1
"""How often the roster is looked at while some container is younger."""
MAX_HELD: Final = 256
"""Most refusals whose outcome is awaited."""
MAX_ROSTER: Final = 256
IDLE_S: Final = 1.0
HOST: Final = "host"
"""The id of what is of no container, where the machine's own processes are guarded too."""


class Held(Struct, frozen=True):
    """A refusal that was sent: what to tell when the gate says that it was done."""

    verdict: Verdict
    context: "Context"
    started_by: str


class Response:
    """Made after the fork, in the engine's process. `chore` is the engine's thread's, as are `_judge` and `_tell`."""

    def __init__(self, pair: Pair, options: GateOptions) -> None:
        self._channel = Channel(pair.engine_fd)
        self._ledger = pair.ledger
        self._options = options
        self._reader = AttemptReader(proc=options.proc)
        self._folding = Folding()
        self._held: OrderedDict[tuple[int, int], Held] = OrderedDict()
        self._again: deque[tuple[float, Attempt]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._roster: list[Guarded] = []
        self._roster_at_s = 0.0
        self._said_hello = False
        self._unsettled = False
        """Some container is so new that it may soon be known better whether anything of it is to be refused."""
        self._look_at_s = 0.0

    def start(self, guard: "Guard") -> None:
        """Begin to answer; called once, before the engine takes its first event."""
        rules = guard.plan.rules.responding()
        rules.prepare(("execve",))
        say(
            "starts of programs may be refused",
            dry_run=self._options.dry_run,
            rules=[rule.name for rule in rules.rules],
        )
        run = partial(self._run, guard, rules)
        threading.Thread(target=run, name="outrider-respond", daemon=True).start()

    def chore(self, guard: "Guard") -> None:
        """Tell the gate which containers there are, and tell what nobody was told of; a few times a second."""
        self._tell_roster(guard)
        self._tell_losses(guard)

    def status(self) -> dict[str, int]:
        """What the gate did so far, for health."""
        return {count.name.lower(): self._ledger[count] for count in Count if not count.name.startswith("TOLD")}

    def _tell_roster(self, guard: "Guard") -> None:
        roster = self._guarded(guard)
        now_s = time.monotonic()
        young_ns = time.time_ns() - SETTLED_NS
        self._unsettled = any(one.first_seen_ns > young_ns for one in guard.containers.all())
        if self._unsettled:
            self._poke()
        if self._said_hello or roster != self._roster or now_s - self._roster_at_s > ROSTER_EVERY_S:
            self._said_hello = False
            self._roster, self._roster_at_s = roster, now_s
            self._send(Roster(roster))

    def _guarded(self, guard: "Guard") -> list[Guarded]:
        """Each container that is not spared, by a process that lives in it."""
        pids: dict[int, int] = {}
        for process in guard.tree.living():
            pids[process.mnt_ns] = process.id.pid
        return [
            Guarded(container.mnt_ns, pids[container.mnt_ns], container.drift.baseline_ns)
            for container in guard.containers.all()
            if container.mnt_ns in pids and not is_spared(container)
        ][:MAX_ROSTER]

    def _tell_losses(self, guard: "Guard") -> None:
        ledger = self._ledger
        late, crowded, unreadable = ledger[Count.LATE], ledger[Count.CROWDED], ledger[Count.UNREADABLE]
        if lost := late + crowded + unreadable - ledger[Count.TOLD_LATE]:
            ledger[Count.TOLD_LATE] += lost
            reason = (
                f"{lost} programs started undecided: in all {late} when the budget of {self._options.budget_ms} ms "
                f"had run out, {crowded} because too many started at once"
            )
            if unreadable:
                reason += f"; {unreadable} files could not be opened, whose start the kernel refuses by itself"
            self._lose(guard, lost, reason)
        disarmed_ns = ledger[Count.DISARMED_NS]
        if disarmed_ns and disarmed_ns != ledger[Count.TOLD_DISARMED]:
            ledger[Count.TOLD_DISARMED] = disarmed_ns
            agent = guard.plan.agent
            guard.engine.tell(disarmed_finding(guard.world, self._options, at_ns=disarmed_ns, agent=agent))

    def _run(self, guard: "Guard", rules: RuleSet) -> None:
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        while not guard.stop.is_set():
            wanted = select.POLLIN | (select.POLLOUT if self._channel.has_waiting else 0)
            poller.register(self._channel.fileno(), wanted)
            if poller.poll(1e3 * (AGAIN_S if self._again else LOOK_S if self._unsettled else IDLE_S)):
                self._drain_wake()
            self._channel.flush()
            for data in self._channel.receive():
                self._take(data, guard, rules)
            self._judge_again(guard, rules)
            if self._unsettled and time.monotonic() >= self._look_at_s:
                self._look_at_s = time.monotonic() + LOOK_S
                guard.intake.put_first(partial(self._tell_roster, guard))

    def _take(self, data: bytes, guard: "Guard", rules: RuleSet) -> None:
        try:
            record = read_to_engine(data)
        except WireError as error:
            say("a record from the gate was not understood", reason=str(error))
            return
        if isinstance(record, Hello):
            guard.intake.put_first(partial(self._greet, guard, record))
        elif isinstance(record, Done):
            guard.intake.put_first(partial(self._done, guard, record))
        elif not _is_late(record) and (attempt := self._reader.read(record)) is not None:
            guard.intake.put_first(partial(self._judge, guard, rules, attempt))

    def _judge_again(self, guard: "Guard", rules: RuleSet) -> None:
        """The engine's thread adds at one end; they are taken off at the other, in the order in which they are due."""
        while self._again and self._again[0][0] <= time.monotonic():
            _, attempt = self._again.popleft()
            guard.intake.put_first(partial(self._judge, guard, rules, attempt))

    def _greet(self, guard: "Guard", hello: Hello) -> None:
        """A gate has started: it is told who there is, and what an earlier one owed is not coming any more."""
        self._held.clear()
        if hello.gate > 1:
            self._lose(
                guard, 0, f"the gate died and was started anew ({hello.gate} starts): meanwhile nobody was asked"
            )
        if untold := self._ledger[Count.DENIED] - self._ledger[Count.TOLD_DENIED]:
            self._ledger.add(Count.TOLD_DENIED, untold)
            self._lose(guard, untold, f"{untold} programs were refused by a gate that died before it said which")
        self._said_hello = True
        self._tell_roster(guard)

    def _judge(self, guard: "Guard", rules: RuleSet, attempt: Attempt) -> None:
        question = attempt.question
        if _is_late(question):
            return
        context = Preview(attempt, guard.world)
        container = context.container
        awaited = guard.containers.awaits_name(question.mnt_ns, question.at_ns)
        if container is None or awaited or is_spared(container):
            self._send(Answer(question.gate, question.number, deny=False))
            return
        verdict = judge(context, rules, guard.plan.expected_drift)
        if verdict.may_change and self._has_patience(question):
            self._again.append((time.monotonic() + AGAIN_S, attempt))
            self._poke()
            return
        if verdict.rules:
            self._held[question.gate, question.number] = Held(verdict, context, attempt.started_by)
            if len(self._held) > MAX_HELD:
                self._held.popitem(last=False)
        self._send(Answer(question.gate, question.number, bool(verdict.rules), verdict.is_old))

    def _lose(self, guard: "Guard", lost: int, reason: str) -> None:
        guard.intake.put(SightLost(time.time_ns(), SENSE, reason, lost or None))

    def _has_patience(self, question: Question) -> bool:
        left_ns = question.deadline_ns - time.monotonic_ns()
        return left_ns > self._options.budget_ms * 1_000_000 * PATIENCE

    def _done(self, guard: "Guard", done: Done) -> None:
        held = self._held.pop((done.gate, done.number), None)
        if done.outcome != "denied":
            return
        self._ledger.add(Count.TOLD_DENIED)
        if held is None:
            self._lose(guard, 1, "a program was refused by the word of an engine that died before it told why")
            return
        for rule in held.verdict.rules:
            if self._folding.judge(rule, held.context) == "tell":
                guard.engine.tell(
                    refusal_finding(
                        rule,
                        held.context,
                        started_by=held.started_by,
                        dry_run=self._options.dry_run,
                        agent=guard.plan.agent,
                    )
                )

    def _send(self, record: Roster | Answer) -> None:
        self._channel.send(record)
        if self._channel.has_waiting:
            self._poke()

    def _poke(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _drain_wake(self) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            pass


def _is_late(question: Question) -> bool:
    return time.monotonic_ns() >= question.deadline_ns


def is_spared(container: Container) -> bool:
    """Whether nothing of it is ever refused: no container by its cgroup path, or one that is or may be excluded."""
    known = container.id not in ("", HOST)
    return not known or bool(container.choice.excluded_by) or container.choice.awaits
