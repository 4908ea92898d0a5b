"""The engine: one thread of pure calls from events to findings.

An event updates the world, the rules judge it and what follows from it, and what they find goes to the sink. Some
events are held back a moment, because what is missing is on its way:

- a connection or question whose process is not known yet: its exit stop tells what sockets it still held;
- a connection or question of a process that nobody knows yet: a packet may be read before the record of its start;
- on a host, a connection, a question or a file's change whose process is known: nobody is stopped when he starts a
  program, so the record of that may come a few milliseconds after what the program did first;
- the reading of a file: the record of its reader's start comes after what the reader does first;
- an exec of a file that may have changed: the file watch's event may be a few milliseconds behind;
- what happens in a container that was just seen: the metadata endpoint is being asked for its name.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from outrider_rules import RuleSet
from outrider_sidecar.expected import is_expected
from outrider_sidecar.fields.context import Context
from outrider_sidecar.folding import Folding
from outrider_sidecar.integrity import integrity_finding, storm_finding
from outrider_sidecar.judgement import make_finding
from outrider_sidecar.settings import ExpectedDrift
from outrider_sidecar.world.containers import Container
from outrider_sidecar.world.drift import Drift
from outrider_sidecar.world.kinds import event_type
from outrider_sidecar.world.world import World, same_connection
from outrider_wire.events import (
    ConnectionOpened,
    ContainerSeen,
    Event,
    FileChanged,
    FilesWatched,
    NameQueried,
    ProcessExecuted,
    ProcessExited,
    ProcessId,
    ServerNamed,
)
from outrider_wire.findings import Finding

OWNER_WAIT_S: Final = 0.08
"""How long a connection waits for its owner's exit stop, and a reading for the record of its reader's start."""
RECORD_WAIT_S: Final = 0.05
"""How long what somebody did waits for the record of his program's start: on hosts, where nobody is stopped at an exec,
always; in a task where nothing is known of him. The lookout keeps back a start that it read late for 20 ms itself
(`HOLD_LATE_NS`), and tells of what that program reads meanwhile."""
DRIFT_WAIT_S: Final = 0.04
"""How long an undecided exec waits for the file watch."""
PATIENCE_S: Final = 0.5
"""How much longer where the file watch, or the engine itself, is behind."""
NAME_WAIT_S: Final = 0.45
"""Longest that what happens in a new container waits for its name: rules and expected drift may ask for it."""
MAX_HELD_BACK: Final = 1_024
MAX_FILES_HELD_BACK: Final = 512
"""Of them, changes of files: a storm of those must leave room for the rest."""

Owned = ConnectionOpened | NameQueried | ServerNamed
OurOwn = ContainerSeen | FilesWatched
"""Events that say what others mean, or what is seen: nothing that a guarded program did, and no rule's business."""
Monotonic = Callable[[], float]


class Sink(Protocol):
    """Where events and findings go."""

    def event(self, event: Event) -> None: ...

    def finding(self, finding: Finding) -> None: ...


class HeldBack(Struct):
    """An event that waits, and until when."""

    event: Event
    due_s: float
    for_name: bool = False
    """Its container's name is on its way: no need to wait on when that has come."""


class Engine:
    """Judges events. `handle` and `tick` are called by one thread."""

    def __init__(
        self,
        *,
        world: World,
        rules: RuleSet,
        sink: Sink,
        agent: str,
        expected_drift: Sequence[ExpectedDrift] = (),
        clock: Monotonic,
        files_caught_up: Callable[[], bool] = lambda: True,
        all_taken: Callable[[], bool] = lambda: True,
        record_wait_s: float = 0.0,
    ) -> None:
        self._world = world
        self._rules = rules
        self._sink = sink
        self._agent = agent
        self._expected = expected_drift
        self._clock = clock
        self._files_caught_up = files_caught_up
        self._all_taken = all_taken
        self._record_wait_s = record_wait_s
        world.containers.on_succeeded = self.settle
        self._judged: dict[str, bool] = {}
        self._folding = Folding()
        self._held_back: list[HeldBack] = []
        self.silenced = 0
        self.left_alone = 0
        """Events of containers that the settings exclude."""
        self.strangers = 0
        """Questions for names, asked where others than the guarded are, of nobody who is known."""

    @property
    def waiting(self) -> bool:
        """Whether something is due soon."""
        return bool(self._held_back) or self._world.restless

    @property
    def waiting_since_ns(self) -> int | None:
        """The time of the oldest exec that is held back, if one is."""
        return min((h.event.at_ns for h in self._held_back if isinstance(h.event, ProcessExecuted)), default=None)

    @property
    def folded(self) -> int:
        """Findings that repeated another and were not told again."""
        return self._folding.folded

    def handle(self, event: Event) -> None:
        """Take in one event and judge all that follows from it."""
        if isinstance(event, ProcessExited) and event.sockets and self._held_back:
            self._claim(event)
        for fact in self._world.apply(event):
            self._consider(fact)

    def tick(self, at_ns: int) -> None:
        """Judge what was held back long enough, and what time alone brought to light."""
        now_s = self._clock()
        due = [held for held in self._held_back if self._is_due(held, now_s)]
        if due:
            taken = set(map(id, due))
            self._held_back = [held for held in self._held_back if id(held) not in taken]
            for held in due:
                self._release(held)
        for fact in self._world.tick(at_ns):
            self._consider(fact)
        for seen in self._world.containers.renamed(at_ns):
            self._sink.event(seen)

    def flush(self) -> None:
        """Judge everything that is held back, now: the end has come."""
        self._let_go(self._held_back)

    def settle(self, container: Container) -> None:
        """Judge what is held back of a container, now: its mount namespace's number is about to be another's."""
        self._let_go([held for held in self._held_back if self._mount_namespace(held.event) == container.mnt_ns])

    def _let_go(self, chosen: Sequence[HeldBack]) -> None:
        taken = set(map(id, chosen))
        self._held_back = [held for held in self._held_back if id(held) not in taken]
        for held in chosen:
            self._judge(self._world.guess_owner(held.event))

    def tell(self, finding: Finding) -> None:
        """Pass on a finding that was made elsewhere; in the engine's thread, as all of this."""
        self._sink.finding(finding)

    def _consider(self, fact: Event) -> None:
        wait_s = self._worth_waiting_s(fact)
        most = MAX_FILES_HELD_BACK if isinstance(fact, FileChanged) else MAX_HELD_BACK
        if wait_s and len(self._held_back) < most:
            self._held_back.append(HeldBack(fact, self._clock() + wait_s, self._awaits_name(fact)))
        else:
            self._judge(self._world.guess_owner(fact))

    def _release(self, held: HeldBack) -> None:
        """What waited for a name may yet wait for something else; the rest is judged with what is known."""
        if held.for_name and not self._awaits_name(held.event):
            self._consider(held.event)
        else:
            self._judge(self._world.guess_owner(held.event))

    def _is_due(self, held: HeldBack, now_s: float) -> bool:
        if held.for_name and not self._awaits_name(held.event):
            return True
        return held.due_s <= now_s and not self._is_early(held, now_s)

    def _awaits_name(self, fact: Event) -> bool:
        containers = self._world.containers
        return containers.may_be_named and containers.awaits_name(self._mount_namespace(fact), fact.at_ns)

    def _mount_namespace(self, fact: Event) -> int:
        mnt_ns: int = getattr(fact, "mnt_ns", 0)
        if not mnt_ns and (actor := self._world.actor_of(fact)) is not None:
            mnt_ns = actor.mnt_ns
        return mnt_ns

    def _is_early(self, held: HeldBack, now_s: float) -> bool:
        """What is still on its way, because the file watch or we ourselves are behind, is waited for, within reason."""
        if now_s >= held.due_s + PATIENCE_S:
            return False
        return not self._all_taken() or (isinstance(held.event, ProcessExecuted) and not self._files_caught_up())

    def _worth_waiting_s(self, fact: Event) -> float:
        if self._awaits_name(fact):
            return NAME_WAIT_S
        if isinstance(fact, Owned):
            if fact.owner is None:
                return OWNER_WAIT_S
            return self._record_wait_s if self._world.tree.get(fact.owner) is not None else RECORD_WAIT_S
        if isinstance(fact, FileChanged):
            if fact.change == "opened" and fact.attribution != "exact":
                return OWNER_WAIT_S
            return self._record_wait_s if fact.actor is not None and self._is_judged(fact) else 0.0
        if isinstance(fact, ProcessExecuted):
            files = (fact.exe, fact.script) if fact.script is not None else (fact.exe,)
            drifts = [self._world.judge(file, fact.mnt_ns) for file in files]
            return DRIFT_WAIT_S if any(d is not None and _may_change(d) for d in drifts) else 0.0
        return 0.0

    def _is_judged(self, fact: Event) -> bool:
        """Whether any rule is of such events."""
        kind = event_type(fact)
        judged = self._judged.get(kind)
        if judged is None:
            judged = self._judged[kind] = bool(self._rules.rules_for(kind))
        return judged

    def _claim(self, exited: ProcessExited) -> None:
        """Give held-back connections to the process that held their socket at its exit stop."""
        for held in self._held_back:
            if isinstance(held.event, Owned) and held.event.owner is None and self._is_of(held.event, exited):
                held.event = _owned_by(held.event, exited.process)
                held.due_s = 0.0

    def _is_of(self, event: Owned, exited: ProcessExited) -> bool:
        process = self._world.tree.get(exited.process)
        if process is not None and not self._world.may_be_of(event, process):
            return False
        if isinstance(event, ConnectionOpened):
            return any(same_connection(event, socket) for socket in exited.sockets)
        return any(socket.local_port == event.source_port for socket in exited.sockets)

    def _judge(self, fact: Event) -> None:
        if self._is_strangers(fact):
            self.strangers += 1
            return
        context = Context(fact, self._world)
        if context.container is not None:
            if context.container.choice.excluded_by:
                self.left_alone += 1
                return
            fact = context.event = self._introduced(fact, context.container)
        self._sink.event(fact)
        if isinstance(fact, OurOwn):
            return
        if (finding := integrity_finding(fact, self._world, agent=self._agent)) is not None:
            self._sink.finding(finding)
        for rule in self._rules.evaluate(event_type(fact), context):
            if "drift" in rule.tags and is_expected(self._expected, context):
                self.silenced += 1
                continue
            verdict = self._folding.judge(rule, context)
            if verdict == "tell":
                self._sink.finding(make_finding(rule, context, agent=self._agent))
            elif verdict == "storm begins":
                self._sink.finding(storm_finding(rule, context, agent=self._agent))

    def _is_strangers(self, fact: Event) -> bool:
        if not isinstance(fact, NameQueried) or fact.owner is not None:
            return False
        return self._world.networks.among_strangers(fact.net_ns)

    def _introduced(self, fact: Event, container: Container) -> Event:
        """The event with its container's mark, after one that says who that is, where that was not said yet."""
        if container.untold:
            self._sink.event(self._world.containers.introduce(container, fact.at_ns))
        if getattr(fact, "mnt_ns", container.mnt_ns):
            return fact
        return msgspec.structs.replace(fact, mnt_ns=container.mnt_ns)


def _may_change(drift: Drift) -> bool:
    """Whether what the file watch has yet to tell may change the verdict."""
    return drift.verdict == "undecided" or drift.by_silence


def _owned_by(event: Owned, process: ProcessId) -> Owned:
    return msgspec.structs.replace(event, owner=process, attribution="exact")
