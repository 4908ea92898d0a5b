"""A task put together as Fargate has it: pause container, guarded containers and sidecar in shared namespaces."""

from pathlib import Path
from random import SystemRandom

from outrider_lab import network
from outrider_lab.blueprint import (
    READY_FILE,
    check_names,
    collector_environment,
    complete,
    complete_sidecar,
    hostname,
    new_container_id,
    new_task_id,
    pause_container,
    write_etc,
)
from outrider_lab.children import Children
from outrider_lab.collector import Collector
from outrider_lab.container import Container
from outrider_lab.ground import Ground, Note
from outrider_lab.metadata import TaskFacts, task_arn
from outrider_lab.services import run_aside, run_services
from outrider_lab.settings import JOURNAL_DIR, ContainerSettings, TaskSettings
from outrider_lab.spec import Place


class Assembly:
    """The parts of one task, and what is needed to start, find and describe them."""

    def __init__(self, settings: TaskSettings, ground: Ground) -> None:
        check_names(settings)
        self.settings = settings
        self.ground = ground
        self.task_id = new_task_id(SystemRandom())
        self.collector = Collector(ground, settings.collector_command, collector_environment(settings))
        self._etc = write_etc(ground.base / "etc", network.TASK_ADDRESS)
        self.pause = self._lay_out(pause_container())
        self.main = self._lay_out(settings.main)
        self.others = tuple(self._lay_out(other) for other in settings.others)
        self.sidecar = (
            self._lay_out(complete_sidecar(settings.sidecar, settings)) if settings.sidecar is not None else None
        )

    def _lay_out(self, settings: ContainerSettings) -> Container:
        container_id = new_container_id(self.task_id, SystemRandom())
        folder = self.ground.base / "containers" / settings.name
        return Container(complete(settings, container_id), container_id, folder, self.ground.runc)

    def prepare(self, container: Container, *, pid_namespace: str = "") -> None:
        """Lay out the container's file systems and write its configuration."""
        place = Place(
            root="",
            cgroup=f"/{self.ground.owner}/ecs/{self.task_id}/{container.id}",
            hostname=hostname(network.TASK_ADDRESS),
            network_namespace=str(self.network_namespace),
            pid_namespace=pid_namespace,
        )
        self.ground.prepare(container, place, etc=self._etc)

    @property
    def listed(self) -> tuple[Container, ...]:
        """The containers that ECS tells of: all but the pause container."""
        return (self.main, *self.others, *((self.sidecar,) if self.sidecar is not None else ()))

    @property
    def network_namespace(self) -> Path:
        """The file that holds the task's network namespace."""
        return self.ground.base / "task-network"

    @property
    def ready_file(self) -> Path:
        """The file the sidecar writes when it sees."""
        return self.sidecar.volume(JOURNAL_DIR) / READY_FILE if self.sidecar else self.ground.base / "never"

    def log_of(self, container: Container) -> tuple[int, int, int]:
        """Descriptors for a container that has no one to talk to."""
        return self.ground.log(container.settings.name)

    def container(self, name: str) -> Container:
        """Raises ValueError for a name that no container has."""
        for container in self.listed:
            if container.settings.name == name:
                return container
        raise ValueError(f"no container is called {name!r}")

    def publish(self) -> None:
        """Tell the metadata endpoint of the containers as they are now."""
        containers = tuple(one.facts() for one in self.listed)
        self.ground.publish([TaskFacts(self.task_id, network.TASK_ADDRESS, containers)])

    def describe(self) -> dict[str, str]:
        """What the asking program needs to find the parts: ids and cgroups of the containers, the lab's folder."""
        return describe(self.task_id, task_arn(self.task_id), self.ground, (self.pause, *self.listed)) | {
            "address": network.TASK_ADDRESS,
            "attacker": network.ATTACKER_ADDRESS,
        }


def describe(task_id: str, arn: str, ground: Ground, containers: tuple[Container, ...]) -> dict[str, str]:
    """What is to be told of any task: ids, cgroups and folders of its containers."""
    facts = {"task": task_id, "arn": arn, "base": str(ground.base)}
    for container in containers:
        name = container.settings.name
        facts |= {
            f"id:{name}": container.id,
            f"cgroup:{name}": container.cgroup,
            f"folder:{name}": str(container.folder),
        }
    return facts


def assemble(settings: TaskSettings, owner: str, children: Children, note: Note) -> Assembly:
    """Put a task together up to its pause container; what guards and what is guarded is ready to be started."""
    containers = (settings.main, *settings.others, *((settings.sidecar,) if settings.sidecar else ()))
    task = Assembly(settings, Ground(owner, children, sources_of(containers)))
    network.make_task_namespace(task.network_namespace)
    task.prepare(task.pause)
    task.pause.begin(task.log_of(task.pause))
    network.connect_task(task.network_namespace)
    task.publish()
    run_aside(lambda: run_services(task.ground.facts))
    task.collector.start()
    note("network, services")
    paused = task.pause.finish()
    for container in task.listed:
        task.prepare(container, pid_namespace=f"/proc/{paused}/ns/pid" if settings.shared_pids else "")
    note("containers laid out")
    return task


def sources_of(containers: tuple[ContainerSettings, ...]) -> tuple[str, ...]:
    """The folders of the machine that the containers are to see."""
    return tuple(one.source for container in containers for one in container.mounts if one.source)
