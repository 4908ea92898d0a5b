"""Containers: which one a process is in, by mount namespace, and what is known of each.

The identity is the 32-hex-dash-digits id in the cgroup path, as on Fargate. Where a private cgroup namespace hides
the path, a container is known by its mount namespace, and named by elimination where only one candidate is left.
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from outrider_sidecar.decode.metadata import ContainerFacts, TaskFacts
from outrider_sidecar.world.drift import DriftRecord
from outrider_sidecar.world.tree import Process
from outrider_wire.events import ProcessId
from outrider_wire.findings import ContainerView, TaskView

MAX_CONTAINERS: Final = 256
NAMED_WITHIN_NS: Final = 500_000_000
"""The metadata endpoint names a new container within this, or much later."""
_ID: Final = re.compile(r"(?<![0-9a-f])([0-9a-f]{32}-\d{1,10}|[0-9a-f]{64})(?![0-9a-f])")


class Container(Struct):
    """One guarded container. `named_by` says how its name is known: `cgroup`, `elimination`, or empty."""

    mnt_ns: int
    drift: DriftRecord
    id: str = ""
    name: str = ""
    image: str = ""
    created_at_ns: int = 0
    named_by: str = ""
    first_seen_ns: int = 0
    first: ProcessId | None = None
    """Its first process: of those that came from outside the task's PID namespace, the one that began first."""

    def meet(self, process: Process) -> None:
        """Note one of its processes."""
        if process.entered and (self.first is None or process.id.start_ticks < self.first.start_ticks):
            self.first = process.id

    @property
    def view(self) -> ContainerView:
        return ContainerView(id=self.id or f"mnt:{self.mnt_ns}", name=self.name, image=self.image)


def container_id(cgroup: str) -> str:
    """The container's id in the content of /proc/PID/cgroup: the last that looks like one, or empty."""
    found = _ID.findall(cgroup)
    return str(found[-1]) if found else ""


class Containers:
    """Every container of the task that was seen, by mount namespace.

    `new_drift(mnt_ns, baseline_ns)` makes the drift record of a new one.
    """

    def __init__(self, new_drift: Callable[[int, int], DriftRecord], *, own_mnt_ns: int = 0) -> None:
        self.task: TaskView | None = None
        self.may_be_named = False
        """Whether there is a metadata endpoint that may yet name a container."""
        self._new_drift = new_drift
        self._own_mnt_ns = own_mnt_ns
        self._by_ns: dict[int, Container] = {}
        self._facts: dict[str, ContainerFacts] = {}
        self._self_id = ""

    def get(self, mnt_ns: int) -> Container | None:
        return self._by_ns.get(mnt_ns)

    def all(self) -> list[Container]:
        return list(self._by_ns.values())

    def see(self, mnt_ns: int, cgroup: str, at_ns: int, started_at_ns: int) -> Container | None:
        """The container of a process; a new one begins at `started_at_ns` unless the metadata says better."""
        if mnt_ns in (0, self._own_mnt_ns):
            return None
        container = self._by_ns.get(mnt_ns)
        if container is None:
            if len(self._by_ns) >= MAX_CONTAINERS:
                del self._by_ns[next(iter(self._by_ns))]
            container = Container(mnt_ns, self._new_drift(mnt_ns, started_at_ns), first_seen_ns=at_ns)
            self._by_ns[mnt_ns] = container
        elif not container.created_at_ns and 0 < started_at_ns < container.drift.baseline_ns:
            container.drift.set_baseline(started_at_ns)
        if cgroup and not container.id:
            container.id = container_id(cgroup)
            self._name(container)
        return container

    def learn(self, facts: TaskFacts, *, self_id: str = "") -> None:
        """Take in what the metadata endpoint told; `self_id` is the sidecar's own container."""
        self.task = facts.task
        self._facts = {c.id: c for c in facts.containers}
        self._self_id = self_id
        for container in self._by_ns.values():
            self._name(container)

    def awaits_name(self, mnt_ns: int, at_ns: int) -> bool:
        """Whether a container was seen so lately that its name is still on its way."""
        container = self._by_ns.get(mnt_ns)
        waits = self.may_be_named and container is not None and not container.name
        return waits and container is not None and at_ns - container.first_seen_ns < NAMED_WITHIN_NS

    def unnamed(self) -> bool:
        """Whether some container is still without a name that the endpoint could tell."""
        return any(not c.name for c in self._by_ns.values())

    def _name(self, container: Container) -> None:
        facts, how = self._facts.get(container.id), "cgroup"
        if facts is None and not container.id:
            facts, how = self._only_candidate(container), "elimination"
        if facts is None:
            return
        container.name, container.image, container.named_by = facts.name, facts.image, how
        container.id = container.id or facts.id
        if facts.created_at_ns and not container.created_at_ns:
            container.created_at_ns = facts.created_at_ns
            container.drift.set_baseline(facts.created_at_ns)

    def _only_candidate(self, container: Container) -> ContainerFacts | None:
        taken = {c.id for c in self._by_ns.values() if c.id}
        free = [f for i, f in self._facts.items() if i not in taken and i != self._self_id and f.kind == "NORMAL"]
        nameless = [c for c in self._by_ns.values() if not c.id]
        return free[0] if len(free) == 1 and nameless == [container] else None
