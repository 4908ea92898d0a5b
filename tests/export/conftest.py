"""A store with findings in it, a clock that is moved by hand, and a target that does as it is told."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from outrider_collector.export.configuration import Export, Webhook
from outrider_collector.export.counters import Counters
from outrider_collector.export.pump import Pump
from outrider_collector.export.target import SENT, Outcome
from outrider_collector.store.database import open_database, writing
from outrider_collector.store.exports import ensure_export
from outrider_collector.store.findings import save_findings
from outrider_collector.store.stored import StoredFinding, read_changes
from outrider_wire.findings import Ancestor, ContainerView, Finding, ProcessView, TaskView
from outrider_wire.timestamps import to_rfc3339

SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND
ARN = "arn:aws:ecs:eu-west-1:123456789012:task/prod/0123456789abcdef0123456789abcdef"


def make_finding(name: str = "f1", **changes: Any) -> Finding:
    """A finding with everything in it, and anything changed; another `family` makes another finding of it."""
    family = changes.pop("family", "web")
    process = ProcessView(
        pid=412, start_ticks=90_001, name="sh", exe="/bin/sh", cmdline="sh -i", cwd="/srv/", uid=33,
        ancestry=[Ancestor(12, "nginx", "/usr/sbin/nginx", "nginx: worker"), Ancestor(1, "pause", "/pause", "/pause")],
        started_at=to_rfc3339(NOW_NS),
    )  # fmt: skip
    made = Finding(
        id=name, type="Execution:Runtime/ReverseShell", rule="Reverse Shell", severity="HIGH",
        title="A shell takes its commands from a connection", at=to_rfc3339(NOW_NS), process=process,
        container=ContainerView("c-1", "app", "repo/app:1"), attribution="exact", tags=["T1059.004"],
        evidence={"stdio.remote": "198.51.100.7:4444", "stdio.tie": "socket", "user.name": "www-data"},
        description="A shell (sh -i) is tied to 198.51.100.7:4444", remedy="Stop the task.", agent="a" * 32,
        task=TaskView(ARN, cluster="prod", family=family, revision="7"),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def make_stored(**changes: Any) -> StoredFinding:
    """A finding as the store has it; what is not the store's is changed in what was told."""
    of_store = {name: changes.pop(name) for name in list(changes) if name in StoredFinding.__struct_fields__}
    given: dict[str, Any] = {
        "id": "00112233445566778899aabbccddeeff", "number": 1, "change": 9, "count": 3, "first_seen_ns": NOW_NS,
        "last_seen_ns": NOW_NS + 60 * SECOND, "state": "new", "archived_at_ns": 0, "suppressed_by": 0, "assignee": "",
        "account": "123456789012", "region": "eu-west-1", "cluster": "prod", "finding": make_finding(**changes),
    }  # fmt: skip
    known = {name: value for name, value in (given | of_store).items() if name in StoredFinding.__struct_fields__}
    for name, kind in StoredFinding.__annotations__.items():
        known.setdefault(name, 0 if kind is int else "")
    return StoredFinding(**known)


@dataclass
class Scripted:
    """A target that asks a function what becomes of each finding; that may raise."""

    decide: Callable[[StoredFinding], Outcome] = lambda found: SENT
    max_items: int = 10
    taken: list[StoredFinding] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)

    def send(self, found: Sequence[StoredFinding]) -> list[Outcome]:
        """Take them."""
        self.calls.append(len(found))
        outcomes = [self.decide(each) for each in found]
        self.taken += [each for each, outcome in zip(found, outcomes, strict=True) if outcome == SENT]
        return outcomes

    def close(self) -> None:
        """Nothing to let go of."""

    @property
    def families(self) -> list[str]:
        """The families of what it took, in order."""
        return [each.finding.task.family for each in self.taken if each.finding.task]


@dataclass
class Plant:
    """A store, a clock, and pumps between that store and targets."""

    engine: Engine
    now_s: float = 1000.0
    told: int = 0

    def wall(self) -> int:
        """Nanoseconds since the epoch."""
        return NOW_NS + int(self.now_s * SECOND)

    def tell(self, *families: str, **changes: Any) -> None:
        """Store a finding for each family."""
        for family in families:
            self.told += 1
            self.save(make_finding(f"f{self.told}", family=family, **changes))

    def save(self, *found: Finding) -> None:
        """Store findings."""
        with writing(self.engine) as connection:
            save_findings(connection, self.wall(), list(found))

    def pump(self, target: Any, *, holder: str = "one", **options: Any) -> Pump:
        """A pump of an export that begins at the beginning."""
        export = options.pop("export", None) or Webhook(
            url="http://127.0.0.1/", secret_file="x", **{"name": "hook", "begin": "all", **options}
        )
        self.counters = Counters(name=export.name, kind="webhook")
        self.begin(export)
        return Pump(
            self.engine, export, target, holder=holder, counters=self.counters,
            clock=lambda: self.now_s, wall=self.wall, jitter=lambda: 0.5,
        )  # fmt: skip

    def begin(self, export: Export) -> None:
        """What a collector does when it starts."""
        with writing(self.engine) as connection:
            ensure_export(connection, export.name, from_beginning=export.begin == "all")

    def run(self, pump: Pump, *, for_s: float = 0.0) -> None:
        """Let it work through what there is, for so long by the clock, which goes on in fifty steps at most."""
        until_s, stride_s = self.now_s + for_s, for_s / 50
        for _ in range(10_000):
            wait_s = pump.step()
            if wait_s and self.now_s >= until_s:
                return
            if wait_s:
                self.now_s = min(self.now_s + max(wait_s, stride_s), until_s)
        raise AssertionError("the pump never rests")

    def stored(self) -> list[StoredFinding]:
        """All findings in the order of their changes."""
        with self.engine.connect() as connection:
            return read_changes(connection, 0, limit=1000)


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    """A new store."""
    made = open_database(store_url)
    yield made
    made.dispose()


@pytest.fixture
def plant(engine: Engine) -> Plant:
    """A new store and what is needed around it."""
    return Plant(engine)


@pytest.fixture
def scripted() -> type[Scripted]:
    """The class of targets that do as they are told."""
    return Scripted


@pytest.fixture
def stored() -> Callable[..., StoredFinding]:
    """Makes a finding as the store has it."""
    return make_stored


@pytest.fixture
def told() -> Callable[..., Finding]:
    """Makes a finding."""
    return make_finding
