"""An engine without sensors: the real world, fields and rules, fed by hand, with a clock that moves when told."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from outrider_rules import RuleSet
from outrider_sidecar.engine import Engine
from outrider_sidecar.fields.context import Context
from outrider_sidecar.intel import Intel
from outrider_sidecar.settings import ExpectedDrift
from outrider_sidecar.sight import Sight
from outrider_sidecar.world.containers import Containers
from outrider_sidecar.world.drift import DriftRecord
from outrider_sidecar.world.lineage import Held
from outrider_sidecar.world.shells import Shells
from outrider_sidecar.world.ties import TieTracker
from outrider_sidecar.world.tree import Process, ProcessTree
from outrider_sidecar.world.world import World
from outrider_wire.events import Descriptor, Event, SocketFacts
from outrider_wire.findings import Finding

TICK_S: Final = 0.01


class Stage:
    """One engine and its world. `found` is every finding in order, `told` every event as it was judged.

    `baseline_ns` is from when on a file counts as new; `watched` are directories that were watched from then on.
    `held` and `sockets` are what a look at processes would find: descriptors by pid, sockets by inode.
    """

    def __init__(
        self,
        rules: RuleSet,
        *,
        baseline_ns: int | Callable[[int], int],
        intel: Intel | None = None,
        expected_drift: Sequence[ExpectedDrift] = (),
        watched: Sequence[str] = (),
        agent: str = "test",
    ) -> None:
        self.found: list[Finding] = []
        self.told: list[Event] = []
        self.seconds = 0.0
        self.held: dict[int, tuple[Descriptor, ...]] = {}
        self.sockets: dict[int, SocketFacts] = {}
        self._baseline = baseline_ns if callable(baseline_ns) else lambda _: baseline_ns
        self._watched = frozenset(watched)
        tree = ProcessTree()
        shells = Shells(lambda _: "", lambda _: frozenset())
        self.world = World(
            tree=tree,
            containers=Containers(lambda mnt_ns, *_: self._drift(mnt_ns)),
            shells=shells,
            ties=TieTracker(tree, shells, self._look, clock=lambda: self.seconds),
            intel=intel if intel is not None else Intel({}),
            started_at=lambda _: self._baseline(0),
            ordered_libraries=lambda _: [],
            exit_libraries=lambda *_: [],
            on_program=lambda *_: None,
        )
        self.engine = Engine(
            world=self.world,
            rules=rules,
            sink=self,
            agent=agent,
            expected_drift=expected_drift,
            clock=lambda: self.seconds,
        )

    def event(self, event: Event) -> None:
        """Called by the engine."""
        self.told.append(event)

    def finding(self, finding: Finding) -> None:
        """Called by the engine."""
        self.found.append(finding)

    def handle(self, event: Event) -> None:
        """Take in one event, now."""
        self.engine.handle(event)

    def let_pass(self, seconds: float) -> None:
        """Let time pass, as the engine's loop does."""
        for _ in range(max(1, round(seconds / TICK_S))):
            self.seconds += TICK_S
            self.engine.tick(self._baseline(0) + int(self.seconds * 1e9))

    def settle(self) -> None:
        """Let a second pass and judge all that waits."""
        self.let_pass(1.0)
        self.engine.flush()

    def context(self, event: Event) -> Context:
        """An event as rules see it, in the world as it is now."""
        return Context(event, self.world)

    def _drift(self, mnt_ns: int) -> DriftRecord:
        baseline_ns = self._baseline(mnt_ns)
        return DriftRecord(baseline_ns, lambda folder: Sight(baseline_ns) if folder in self._watched else None)

    def _look(self, processes: Iterable[Process]) -> tuple[list[Held], dict[int, SocketFacts]]:
        held = [
            Held(p.id, self.held[p.id.pid], p.mnt_ns, p.parent) for p in processes if p.alive and p.id.pid in self.held
        ]
        return held, self.sockets
