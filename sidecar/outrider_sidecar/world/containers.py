"""Containers: which one a process is in, by mount namespace, and what is known of each.

A container's identity is the id in its cgroup path. In a task, the metadata endpoint names the containers of that one
task; where a private cgroup namespace hides the path, a container is known by its mount namespace, and named by
elimination where only one candidate is left. On a host, the ECS agent tells of many tasks, each container has its own,
and nothing is guessed: what the agent does not tell stays empty.

Mount namespaces are numbers that the kernel uses again as soon as they are free. So one that comes with another id in
its cgroup path is another container.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from outrider_sidecar.decode.cgroups import NOTHING, parse_cgroup
from outrider_sidecar.decode.introspection import task_id_of
from outrider_sidecar.decode.metadata import ContainerFacts, TaskFacts
from outrider_sidecar.selection import GUARDED, Choice
from outrider_sidecar.world.container import (
    PAUSE_IMAGE,
    PAUSE_KIND,
    PAUSE_NAME,
    PAUSE_PROGRAM,
    Container,
    container_id,
)
from outrider_sidecar.world.drift import DriftRecord
from outrider_wire.events import ContainerSeen, SightLost
from outrider_wire.findings import TaskView

__all__ = ["Container", "Containers", "container_id"]

MAX_CONTAINERS: Final = 256
"""Most containers known at a time; ended ones make room first."""
FORGET_AFTER_NS: Final = 300 * 1_000_000_000
"""How long an ended container is known: what its last processes did may still be judged."""
NAMED_WITHIN_NS: Final = 500_000_000
"""The metadata endpoint, or the agent, names a new container within this, or much later."""
MAX_NOTICES: Final = 64
"""Most notices that wait to be told of; the rest are counted."""


class Containers:
    """Every container that was seen, by mount namespace.

    `new_drift(mnt_ns, baseline_ns, id)` makes the drift record of a new one. `choose` says of a container whether it is
    guarded; it is asked again whenever more is known.
    """

    def __init__(
        self,
        new_drift: Callable[[int, int, str], DriftRecord],
        *,
        own_mnt_ns: int = 0,
        max_containers: int = MAX_CONTAINERS,
        choose: Callable[[Container], Choice] = lambda _: GUARDED,
    ) -> None:
        self.task: TaskView | None = None
        """The one task that is guarded; None on a host, where each container has its own."""
        self.cluster = ""
        """The cluster of a host's tasks, once the agent has told."""
        self.may_be_named = False
        """Whether there is somebody to ask who may yet name a container."""
        self.choose = choose
        self.on_succeeded: Callable[[Container], None] = lambda _: None
        """Called with a container whose number is about to be given to another: the last moment to judge its own."""
        self.evicted = 0
        """Living containers that had to be forgotten for others."""
        self._new_drift = new_drift
        self._own_mnt_ns = own_mnt_ns
        self._max_containers = max_containers
        self._by_ns: dict[int, Container] = {}
        self._facts: dict[str, tuple[ContainerFacts, TaskView | None]] = {}
        self._tasks: dict[str, TaskView] = {}
        self._self_id = ""
        self._notices: list[SightLost] = []
        self._untold = 0
        self._news = False

    def get(self, mnt_ns: int) -> Container | None:
        return self._by_ns.get(mnt_ns)

    def all(self) -> list[Container]:
        return list(self._by_ns.values())

    def task_of(self, container: Container | None) -> TaskView | None:
        """Whose a container is. Of what is in none: the one task, where there is but one.

        Where nobody told of its task, it has no ARN; its id stands in `Container.task_id`.
        """
        if self.task is not None or container is None:
            return self.task
        if container.task is None and container.task_id:
            return TaskView("", container.cgroup.cluster or self.cluster)
        return container.task

    def see(self, mnt_ns: int, cgroup: str, at_ns: int, started_at_ns: int) -> Container | None:
        """The container of a process; a new one begins at `started_at_ns` unless the metadata says better."""
        if mnt_ns in (0, self._own_mnt_ns):
            return None
        identity = parse_cgroup(cgroup) if cgroup else NOTHING
        container = self._by_ns.get(mnt_ns)
        if container is not None and _are_two(container.cgroup.ids, identity.ids):
            self.on_succeeded(container)
            del self._by_ns[mnt_ns]  # that one has ended, and the kernel gave its number to another
            container = None
        if container is None:
            self._make_room(at_ns)
            drift = self._new_drift(mnt_ns, started_at_ns, identity.container_id)
            container = Container(mnt_ns, drift, first_seen_ns=at_ns)
            self._by_ns[mnt_ns] = container
        elif not container.created_at_ns and 0 < started_at_ns < container.drift.baseline_ns:
            container.drift.set_baseline(started_at_ns)
        if identity.ids and not container.id:
            container.id, container.cgroup = identity.container_id, identity
            self._name(container)
        return container

    def learn(self, facts: TaskFacts, *, self_id: str = "") -> None:
        """Take in what the metadata endpoint told of the one task; `self_id` is the sidecar's own container."""
        is_new, self.task = facts.task != self.task, facts.task
        self._facts = {c.id: (c, None) for c in facts.containers}
        self._self_id = self_id
        for container in self._by_ns.values():
            container.untold = container.untold or is_new
            self._name(container)

    def learn_tasks(self, tasks: Iterable[TaskFacts], *, cluster: str = "") -> bool:
        """Take in what the agent told of all tasks of the host; whether some container's creation became known.

        What a container was called once, it keeps.
        """
        told = list(tasks)
        self.cluster = cluster or self.cluster
        self._tasks = {task_id_of(facts.task.arn): facts.task for facts in told}
        self._facts = {c.id: (c, facts.task) for facts in told for c in facts.containers}
        return True in [self._name(container) for container in self._by_ns.values()]

    def introduce(self, container: Container, at_ns: int) -> ContainerSeen:
        """The event that says who a container is; from here on that is told."""
        container.untold, container.told = False, True
        return container.seen(at_ns, self.task_of(container))

    def renamed(self, at_ns: int) -> list[ContainerSeen]:
        """The same for each of which more became known since it was introduced."""
        if not self._news:
            return []
        self._news = False
        return [
            self.introduce(container, at_ns)
            for container in self._by_ns.values()
            if container.untold and container.told and not container.choice.excluded_by
        ]

    def rechoose(self) -> None:
        """Ask of every container again whether it is guarded: tags became known, say."""
        for container in self._by_ns.values():
            self._choose(container)

    def awaits_name(self, mnt_ns: int, at_ns: int) -> bool:
        """Whether a container was seen so lately that its name, or whether it is guarded at all, is on its way."""
        container = self._by_ns.get(mnt_ns)
        if not self.may_be_named or container is None or at_ns - container.first_seen_ns >= NAMED_WITHIN_NS:
            return False
        return not container.name or container.choice.awaits

    def unnamed(self) -> bool:
        """Whether some living container is still without a name that could be told."""
        return any(not c.name and not c.ended_at_ns for c in self._by_ns.values())

    def excluded(self) -> list[Container]:
        """The containers that are left alone, as the settings have it."""
        return [container for container in self._by_ns.values() if container.choice.excluded_by]

    def note_living(self, living: Collection[int], at_ns: int) -> list[Container]:
        """Told the mount namespaces in which some process lives: note who ended; the answer is who is forgotten."""
        forgotten = []
        for container in self.all():
            if container.mnt_ns in living:
                container.ended_at_ns = 0
            elif not container.ended_at_ns:
                container.ended_at_ns = at_ns
            elif at_ns - container.ended_at_ns >= FORGET_AFTER_NS:
                forgotten.append(self._by_ns.pop(container.mnt_ns))
        return forgotten

    def take_notices(self) -> list[SightLost]:
        """Standing limits that are to be told of: who is left alone, who had to be forgotten. Each comes once."""
        notices, self._notices = self._notices, []
        if self._untold:
            reason = f"{self._untold} more notices of this kind came too fast to be told one by one"
            notices.append(SightLost(notices[-1].at_ns, "containers", reason, self._untold, 0, standing=True))
            self._untold = 0
        return notices

    def _make_room(self, at_ns: int) -> None:
        if len(self._by_ns) < self._max_containers:
            return
        ended = [c for c in self._by_ns.values() if c.ended_at_ns]
        victim = min(ended, key=lambda c: c.ended_at_ns) if ended else next(iter(self._by_ns.values()))
        del self._by_ns[victim.mnt_ns]
        if not ended:
            self.evicted += 1
            if self.evicted == 1:
                reason = f"more than {self._max_containers} containers live: what was known of the oldest is forgotten"
                self._notify(at_ns, "containers", reason)

    def _name(self, container: Container) -> bool:
        """Give it what is known of it; whether its creation became known by that."""
        before = (container.id, container.name, container.image, container.task)
        if self.task is None:
            self._place(container)
        facts, how = self._facts_of(container), "cgroup"
        if facts is None and not container.id and self.task is not None:
            facts, how = self._only_candidate(container), "elimination"
        born = False
        if facts is not None and not (self.task is None and container.named_by == "cgroup"):
            container.name, container.image, container.kind = facts.name, facts.image, facts.kind
            container.named_by = how
            container.id = container.id or facts.id
            born = bool(facts.created_at_ns and not container.created_at_ns)
            if born:
                container.created_at_ns = facts.created_at_ns
                container.drift.set_baseline(facts.created_at_ns)
        container.untold |= before != (container.id, container.name, container.image, container.task)
        self._news = self._news or (container.untold and container.told)
        self._choose(container)
        return born

    def _facts_of(self, container: Container) -> ContainerFacts | None:
        """What was told of it, or of the outermost container that it lies in."""
        for known in container.cgroup.ids or (container.id,):
            facts, task = self._facts.get(known, (None, None))
            if facts is not None and self._is_of_its_task(container, task):
                container.task = container.task or task
                return facts
        return None

    def _is_of_its_task(self, container: Container, task: TaskView | None) -> bool:
        """The path is the runtime's word: whoever tells otherwise is not the agent."""
        return task is None or not container.cgroup.task_id or task_id_of(task.arn) == container.cgroup.task_id

    def _place(self, container: Container) -> None:
        """The task of a host's container, by its path; and ECS's own pause container, which the agent leaves out."""
        container.task = container.task or self._tasks.get(container.cgroup.task_id)
        listed = any(known in self._facts for known in container.cgroup.ids)
        if container.task is not None and not listed and not container.name and container.program == PAUSE_PROGRAM:
            container.name, container.image, container.kind = PAUSE_NAME, PAUSE_IMAGE, PAUSE_KIND
            container.named_by = "program"

    def _choose(self, container: Container) -> None:
        before, container.choice = container.choice.excluded_by, self.choose(container)
        now = container.choice.excluded_by
        if now != before:
            task = self.task_of(container)
            whose = f"of task {task.arn or container.task_id}" if task is not None else "of no task that is known"
            said = f"is not guarded: {now}" if now else f"is guarded from now on; it was not, by {before}"
            self._notify(container.first_seen_ns, "selection", f"container {container.label} {whose} {said}")

    def _notify(self, at_ns: int, sense: str, reason: str) -> None:
        if len(self._notices) < MAX_NOTICES:
            self._notices.append(SightLost(at_ns, sense, reason, None, at_ns, standing=True))
        else:
            self._untold += 1

    def _only_candidate(self, container: Container) -> ContainerFacts | None:
        taken = {c.id for c in self._by_ns.values() if c.id}
        free = [f for i, (f, _) in self._facts.items() if i not in taken and i != self._self_id and f.kind == "NORMAL"]
        nameless = [c for c in self._by_ns.values() if not c.id]
        return free[0] if len(free) == 1 and nameless == [container] else None


def _are_two(before: tuple[str, ...], now: tuple[str, ...]) -> bool:
    """Whether two paths are of two containers, neither of which lies in the other."""
    shared = min(len(before), len(now))
    return before[:shared] != now[:shared]
