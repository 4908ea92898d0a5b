"""An open store of either kind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import pytest
from sqlalchemy import Engine

from outrider_collector.store.database import open_database, writing
from outrider_collector.store.filtering import FindingFilter
from outrider_collector.store.findings import save_findings
from outrider_collector.store.listing import FindingList, ListQuery, list_findings
from outrider_collector.store.stored import StoredFinding
from outrider_wire.findings import ContainerView, Finding, ProcessView, TaskView
from outrider_wire.timestamps import to_rfc3339

T = TypeVar("T")


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    """A new store."""
    made = open_database(store_url)
    yield made
    made.dispose()


SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND


def arn(family: str, task: str, *, account: str = "123456789012", cluster: str = "prod") -> str:
    """The ARN of a task."""
    return f"arn:aws:ecs:eu-west-1:{account}:task/{cluster}/{family}-{task}"


@dataclass
class Store:
    """A store and what one wants of it in a line."""

    engine: Engine
    made: int = 0

    def finding(self, name: str = "", *, at_ns: int = NOW_NS, **changes: Any) -> Finding:
        """A finding of a web server's shell, and anything else changed: `family`, `task`, `exe` and `container` too."""
        self.made += 1
        family, task = changes.pop("family", "web"), changes.pop("task", "1")
        exe, container = changes.pop("exe", "/bin/sh"), changes.pop("container", "app")
        process = ProcessView(7, 8, exe.rpartition("/")[2], exe, f"{exe} -c id", "/srv", 33, [])
        task_arn = arn(family, task, **{k: changes.pop(k) for k in ("account", "cluster") if k in changes})
        made = Finding(
            id=name or f"f{self.made}", type="Execution:Runtime/ReverseShell", rule="Reverse Shell", severity="HIGH",
            title="A shell takes its commands from a connection", at=to_rfc3339(at_ns), process=process,
            container=ContainerView("c-1", container, f"repo/{container}:1"), evidence={}, attribution="exact",
            task=TaskView(task_arn, family=family), agent=f"{task:0>32}"[-32:],
        )  # fmt: skip
        return msgspec.structs.replace(made, **changes)

    def tell(self, *found: Finding, at_ns: int = NOW_NS) -> None:
        """Save what was told."""
        with writing(self.engine) as connection:
            save_findings(connection, at_ns, list(found))

    def write(self, what: Callable[..., T], *given: Any, **named: Any) -> T:
        """Call a function of the store in a transaction that writes."""
        with writing(self.engine) as connection:
            return what(connection, *given, **named)

    def read(self, what: Callable[..., T], *given: Any, **named: Any) -> T:
        """Call one that reads."""
        with self.engine.connect() as connection:
            return what(connection, *given, **named)

    def all(self, **asked: Any) -> list[StoredFinding]:
        """Every finding of a filter, in order."""
        query = ListQuery(filter=FindingFilter(**asked), limit=100_000)
        found: FindingList = self.read(list_findings, query)
        return found.findings

    def one(self) -> StoredFinding:
        """The only finding there is."""
        (found,) = self.all()
        return found


@pytest.fixture
def store(engine: Engine) -> Store:
    """A new store."""
    return Store(engine)
