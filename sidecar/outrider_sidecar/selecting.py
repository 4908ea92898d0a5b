"""Applying the selection to the containers of a guard, with tags from the ECS API where a selector names one.

Tags are asked for in a thread, of living tasks alone, kept, and asked for again after a while: a tag may be changed
while the task runs. Where they cannot be had, whatever depends on them is guarded, and that is said once.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec.structs import replace

from outrider_sidecar.log import say
from outrider_sidecar.selection import Choice, Selection, Tags
from outrider_sidecar.world.container import Container
from outrider_wire.errors import Unavailable
from outrider_wire.events import SightLost
from outrider_wire.findings import TaskView

if TYPE_CHECKING:
    from outrider_sidecar.guard import Guard

TAGS_GOOD_FOR_S: Final = 300.0
RETRY_S: Final = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Pauses while tags cannot be had; the last repeats."""
MISSING_AGAIN_S: Final = 15.0
"""When a task is asked for again that the API did not know: it learns of new ones a little later."""
MAX_TASKS: Final = 1_024
"""Most tasks whose tags are kept."""


class Tagged(Protocol):
    """Who tells tags, in the shape of `aws.ecs_tags.EcsTags`."""

    def of_cluster(self, cluster: str) -> Tags: ...

    def of_tasks(self, cluster: str, arns: Sequence[str]) -> dict[str, Tags]: ...


class Selecting:
    """Says who is guarded. `begin` and `chore` are called in the engine's thread.

    `reach(task)` makes whoever tells of tags for the region of a task; it may raise Unavailable.
    """

    def __init__(self, selection: Selection, *, reach: Callable[[TaskView], Tagged] | None = None) -> None:
        self.selection = selection
        self.error = ""
        """Why tags are not known; empty while they are."""
        self._reach = reach if selection.tag_keys else None
        self._clusters: dict[str, tuple[Tags | None, float]] = {}
        self._tasks: dict[str, tuple[Tags | None, float]] = {}
        self._asking = False
        self._failures = 0
        self._next_s = 0.0
        self._was_told = False

    def begin(self, guard: "Guard") -> None:
        """Let the guard's containers be chosen by this selection."""
        if not self.selection.is_open:
            guard.containers.choose = lambda container: self._choose(container, guard.containers.task_of(container))
            guard.containers.rechoose()

    def chore(self, guard: "Guard") -> None:
        """Ask for tags that are missing or old, in a thread."""
        if self._reach is None or self._asking or time.monotonic() < self._next_s:
            return
        containers = guard.containers
        tasks = {t.arn: t for c in containers.all() if not c.ended_at_ns and (t := containers.task_of(c)) and t.arn}
        self._forget(tasks)
        wanted = [task for task in tasks.values() if self._is_wanted(task)]
        if wanted:
            self._asking = True
            threading.Thread(
                target=self._ask, args=(guard, wanted[0], wanted), name="outrider-tags", daemon=True
            ).start()

    def status(self) -> dict[str, Any]:
        """The settings, and whether what they depend on is known, for health."""
        return {"selectors": self.selection.texts, "tags_error": self.error}

    def _choose(self, container: Container, task: TaskView | None) -> Choice:
        cluster, _ = self._clusters.get(task.cluster, (None, 0.0)) if task is not None else (None, 0.0)
        own, _ = self._tasks.get(task.arn, (None, 0.0)) if task is not None else (None, 0.0)
        return self.selection.judge(replace(container.subject(task), cluster_tags=cluster, task_tags=own))

    def _is_wanted(self, task: TaskView) -> bool:
        keys = self.selection.tag_keys
        by_cluster = "cluster-tag" in keys and _is_old(self._clusters.get(task.cluster))
        return by_cluster or ("task-tag" in keys and _is_old(self._tasks.get(task.arn)))

    def _ask(self, guard: "Guard", first: TaskView, wanted: Sequence[TaskView]) -> None:
        """Ask for all of one cluster; an instance has no other."""
        assert self._reach is not None
        clusters: dict[str, Tags] = {}
        tasks: dict[str, Tags | None] = {}
        error = ""
        try:
            tagged = self._reach(first)
            if "cluster-tag" in self.selection.tag_keys:
                clusters[first.cluster] = tagged.of_cluster(first.cluster)
            if "task-tag" in self.selection.tag_keys:
                arns = [task.arn for task in wanted if task.cluster == first.cluster][:MAX_TASKS]
                tasks = dict.fromkeys(arns) | tagged.of_tasks(first.cluster, arns)
        except Unavailable as failure:
            error = str(failure)
        guard.intake.put_first(lambda: self._learn(guard, clusters, tasks, error))

    def _learn(self, guard: "Guard", clusters: dict[str, Tags], tasks: dict[str, Tags | None], error: str) -> None:
        now_s = time.monotonic()
        self._clusters |= {cluster: (tags, now_s) for cluster, tags in clusters.items()}
        self._tasks |= {arn: (tags, now_s) for arn, tags in tasks.items()}
        self._asking = False
        self._failures = self._failures + 1 if error else 0
        pause_s = RETRY_S[min(self._failures, len(RETRY_S)) - 1] if error else RETRY_S[0]
        self._next_s = now_s + pause_s
        if error and not self.error:
            self._say_unknown(guard, error)
        self.error = error
        guard.containers.rechoose()

    def _say_unknown(self, guard: "Guard", error: str) -> None:
        reason = f"tags cannot be read, so whatever include or exclude would say by a tag is guarded: {error}"
        say(reason, sense="selection")
        if not self._was_told:
            self._was_told = True
            now_ns = time.time_ns()
            guard.intake.put(SightLost(now_ns, "selection", reason, None, now_ns, standing=True))

    def _forget(self, tasks: dict[str, TaskView]) -> None:
        self._tasks = {arn: kept for arn, kept in self._tasks.items() if arn in tasks}


def _is_old(kept: tuple[Tags | None, float] | None) -> bool:
    """Whether tags must be asked for: never asked for, or a while ago."""
    if kept is None:
        return True
    tags, asked_s = kept
    return time.monotonic() - asked_s >= (MISSING_AGAIN_S if tags is None else TAGS_GOOD_FOR_S)
