"""Naming the containers of a host: the ECS agent is asked in a thread of its own whenever a container has no name yet.

The agent may be late, stopped or restarting for an update: names once learnt stay, and it is asked again, less and less
often, until it answers. A new container is asked for at once.
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from outrider_sidecar.decode.introspection import InstanceFacts
from outrider_sidecar.decode.metadata import TaskFacts
from outrider_sidecar.introspection import fetch_instance, fetch_tasks
from outrider_sidecar.log import say
from outrider_sidecar.notices import tell_notices
from outrider_wire.errors import Unavailable

if TYPE_CHECKING:
    from outrider_sidecar.guard import Guard

WAITS_S: Final = (0.0, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Pauses between askings while names are missing; the last repeats."""


class Told(Struct, frozen=True):
    """What the agent answered."""

    instance: InstanceFacts
    tasks: tuple[TaskFacts, ...]


def ask_agent(agent_uri: str) -> Told:
    """The instance and its tasks. Raises Unavailable."""
    instance = fetch_instance(agent_uri)
    return Told(instance, fetch_tasks(agent_uri, cluster=instance.cluster))


class HostNaming:
    """Keeps the names of a host's containers. `chore` runs in the engine's thread and never waits.

    `on_learnt` is called there whenever the agent has told: tags may be asked for now.
    """

    def __init__(
        self,
        agent_uri: str,
        *,
        fetch: Callable[[str], Told] = ask_agent,
        on_learnt: Callable[["Guard"], None] = lambda _: None,
    ) -> None:
        self.instance: InstanceFacts | None = None
        """The container instance, once the agent has told."""
        self.error = ""
        """Why the agent does not answer now; empty while it does."""
        self._uri = agent_uri
        self._fetch = fetch
        self._on_learnt = on_learnt
        self._asking = False
        self._tries = 0
        self._next_s = 0.0
        self._nameless: frozenset[str | int] = frozenset()

    def chore(self, guard: "Guard") -> None:
        """Note who ended, tell of who is left alone, and ask the agent where somebody is nameless."""
        containers = guard.containers
        containers.may_be_named = bool(self._uri)
        guard.forget(containers.note_living({process.mnt_ns for process in guard.tree.living()}, time.time_ns()))
        tell_notices(guard)
        nameless = frozenset(c.id or c.mnt_ns for c in containers.all() if not c.name and not c.ended_at_ns)
        if nameless - self._nameless:
            self._tries, self._next_s = 0, 0.0
        self._nameless = nameless
        if not self._uri or self._asking or time.monotonic() < self._next_s:
            return
        if self.instance is not None and self.instance.arn and not nameless:
            return
        self._asking = True
        self._next_s = time.monotonic() + WAITS_S[min(self._tries + 1, len(WAITS_S) - 1)]
        self._tries += 1
        threading.Thread(target=self._ask, args=(guard,), name="outrider-naming", daemon=True).start()

    def status(self, guard: "Guard") -> dict[str, Any]:
        """Who is known, and who is left alone and why, for health."""
        containers = guard.containers
        living = [c for c in containers.all() if not c.ended_at_ns]
        return {
            "instance": self.instance.arn if self.instance is not None else "",
            "cluster": containers.cluster,
            "agent_error": self.error,
            "containers": len(living),
            "unnamed": sorted(c.view.id for c in living if not c.name),
            "excluded": [
                {"container": c.label, "task": _task_of(guard, c.mnt_ns), "by": c.choice.excluded_by}
                for c in containers.excluded()
                if not c.ended_at_ns
            ],
        }

    def _ask(self, guard: "Guard") -> None:
        try:
            told = self._fetch(self._uri)
        except Unavailable as error:
            if not self.error:
                say("the ECS agent does not answer: containers new to us have no name until it does", reason=str(error))
            self.error = str(error)
            self._asking = False
            return
        if self.error:
            say("the ECS agent answers again")
        self.error = ""
        guard.intake.put_first(lambda: self._learn(guard, told))

    def _learn(self, guard: "Guard", told: Told) -> None:
        self.instance = told.instance
        if guard.containers.learn_tasks(told.tasks, cluster=told.instance.cluster):
            guard.rebase()
        self._asking = False
        self._on_learnt(guard)
        tell_notices(guard)


def _task_of(guard: "Guard", mnt_ns: int) -> str:
    container = guard.containers.get(mnt_ns)
    task = guard.containers.task_of(container)
    return task.arn or (container.task_id if container is not None else "") if task is not None else ""
