"""One container, and what is believed of it."""

from typing import Final

from msgspec import Struct

from outrider_sidecar.decode.cgroups import NOTHING, CgroupIdentity, parse_cgroup
from outrider_sidecar.decode.introspection import task_id_of
from outrider_sidecar.selection import GUARDED, Choice, Subject
from outrider_sidecar.world.drift import DriftRecord
from outrider_sidecar.world.tree import Process
from outrider_wire.events import ContainerSeen, ProcessId
from outrider_wire.findings import ContainerView, TaskView

PAUSE_NAME: Final = "~internal~ecs~pause"
PAUSE_IMAGE: Final = "amazon/amazon-ecs-pause"
PAUSE_PROGRAM: Final = "/pause"
PAUSE_KIND: Final = "CNI_PAUSE"
"""ECS's own container that holds a task's network: its name and kind at the metadata endpoint, and what it runs. The
agent of an instance does not list it."""
_NO_TASK: Final = TaskView("")


class Container(Struct):
    """One container. `named_by` says how its name is known: `cgroup`, `elimination`, `program`, or empty.

    `task` is None in a one-task world, where it is the world's. `task_id` is of its cgroup path, known also while
    nobody tells its ARN. `ended_at_ns` is 0 while some process of it lives.
    """

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
    cgroup: CgroupIdentity = NOTHING
    task: TaskView | None = None
    kind: str = "NORMAL"
    """`NORMAL`, or one of ECS's own: `CNI_PAUSE`."""
    ended_at_ns: int = 0
    choice: Choice = GUARDED
    untold: bool = True
    """Whether who it is, or what is new about it, was not told of yet."""
    told: bool = False
    """Whether anything was."""
    net_ns: int = 0
    """The network namespace of its processes, 0 while it was not read."""
    program: str = ""
    """The first program that was seen of it, as a path of its own."""

    def meet(self, process: Process) -> None:
        """Note one of its processes."""
        if process.entered and (self.first is None or process.id.start_ticks < self.first.start_ticks):
            self.first = process.id
        self.program = self.program or process.exe.path
        self.ended_at_ns = 0

    @property
    def view(self) -> ContainerView:
        return ContainerView(id=self.id or f"mnt:{self.mnt_ns}", name=self.name, image=self.image)

    @property
    def label(self) -> str:
        """What a person is told: its name, else its id."""
        return self.name or self.view.id

    @property
    def task_id(self) -> str:
        """The id of its task; of the cgroup path where nobody told the ARN."""
        return self.cgroup.task_id or (task_id_of(self.task.arn) if self.task is not None else "")

    @property
    def is_pause(self) -> bool:
        """Whether it is ECS's own, that holds a task's network and runs nothing of the task."""
        return self.kind == PAUSE_KIND

    def subject(self, task: TaskView | None) -> Subject:
        """What selectors ask for, but for the tags."""
        of = task or _NO_TASK
        return Subject(self.name, self.image, of.family, of.cluster)

    def seen(self, at_ns: int, task: TaskView | None = None) -> ContainerSeen:
        """The event that says who it is; `task` is whose it is, as far as that is known."""
        of = task or self.task or _NO_TASK
        view = self.view
        return ContainerSeen(
            at_ns, self.mnt_ns, view.id, view.name, view.image, of.arn, of.cluster, of.family, of.revision
        )


def container_id(cgroup: str) -> str:
    """The container's id in the content of /proc/PID/cgroup: the last that looks like one, or empty."""
    return parse_cgroup(cgroup).container_id
