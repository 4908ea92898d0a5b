"""A task put together: network, services, collector, pause container, and the other containers made ready to start."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Final

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
from outrider_lab.container import Container, open_log
from outrider_lab.metadata import TaskFacts, task_arn
from outrider_lab.namespaces import MS_NODEV, MS_NOSUID, mount
from outrider_lab.rootfs import bound_folders, choose_base
from outrider_lab.runc import Runc, kill
from outrider_lab.seccomp import convert, read_profile
from outrider_lab.services import run_services, write_facts
from outrider_lab.settings import (
    ECS_CAPABILITIES,
    JOURNAL_DIR,
    ContainerSettings,
    Mount,
    TaskSettings,
)
from outrider_lab.spec import Place

START_NICENESS: Final = 10
"""The collector steps back while the task starts: nobody waits for it then."""

Note = Callable[[str], None]
"""Called with the name of each step of the start as it is done."""


class Assembly:
    """The parts of one task, and what is needed to start, find and describe them."""

    def __init__(self, settings: TaskSettings, owner: str, base: Path, children: Children) -> None:
        check_names(settings)
        self.settings = settings
        self.base = base
        self.task_id = new_task_id(SystemRandom())
        self.runc = Runc(children, base / "runc")
        self.collector_pid = 0
        self._owner = owner
        self._children = children
        self._profile = read_profile()
        self._etc = write_etc(base / "etc")
        self.pause = self._lay_out(pause_container())
        self.main = self._lay_out(settings.main)
        self.others = tuple(self._lay_out(other) for other in settings.others)
        self.sidecar = (
            self._lay_out(complete_sidecar(settings.sidecar, settings)) if settings.sidecar is not None else None
        )

    def _lay_out(self, settings: ContainerSettings) -> Container:
        container_id = new_container_id(self.task_id, SystemRandom())
        return Container(
            complete(settings, container_id), container_id, self.base / "containers" / settings.name, self.runc
        )

    def prepare(self, container: Container, *, pid_namespace: str = "") -> None:
        """Lay out the container's file systems and write its configuration."""
        place = Place(
            root="",
            cgroup=f"/{self._owner}/ecs/{self.task_id}/{container.id}",
            hostname=hostname(),
            network_namespace=str(self.network_namespace),
            pid_namespace=pid_namespace,
        )
        capabilities = (*ECS_CAPABILITIES, *container.settings.added_capabilities)
        mounts: tuple[Mount, ...] = (*self._etc, *bound_folders())
        container.prepare(place, seccomp=convert(self._profile, capabilities=capabilities), mounts=mounts)

    @property
    def listed(self) -> tuple[Container, ...]:
        """The containers that ECS tells of: all but the pause container."""
        return (self.main, *self.others, *((self.sidecar,) if self.sidecar is not None else ()))

    @property
    def network_namespace(self) -> Path:
        """The file that holds the task's network namespace."""
        return self.base / "task-network"

    @property
    def ready_file(self) -> Path:
        """The file the sidecar writes when it sees."""
        return self.sidecar.volume(JOURNAL_DIR) / READY_FILE if self.sidecar else self.base / "never"

    def is_ready(self) -> bool:
        """Whether the sidecar said that it sees."""
        return self.ready_file.exists()

    def log_of(self, container: Container) -> tuple[int, int, int]:
        """Descriptors for a container that has no one to talk to."""
        return open_log(self.base / "logs" / f"{container.settings.name}.log")

    def container(self, name: str) -> Container:
        """Raises ValueError for a name that no container has."""
        for container in self.listed:
            if container.settings.name == name:
                return container
        raise ValueError(f"no container is called {name!r}")

    def publish(self) -> None:
        """Tell the metadata endpoint of the containers as they are now."""
        facts = TaskFacts(self.task_id, network.TASK_ADDRESS, tuple(one.facts() for one in self.listed))
        write_facts(facts, self.base / "facts.json")

    def start_services(self) -> None:
        """Fork the metadata endpoint and the name server."""
        if os.fork() == 0:
            try:
                signal.set_wakeup_fd(-1)
                run_services(self.base / "facts.json")
            finally:
                os._exit(1)

    def start_collector(self) -> None:
        """Start the collector beside the task, on the data it had."""
        if not self.settings.collector_command or self.collector_pid:
            return
        data = self.base / "collector"
        data.mkdir(exist_ok=True, mode=0o700)
        stdio = open_log(self.base / "logs" / "collector.log")
        env = collector_environment(self.settings, data, dict(os.environ))
        pid = self._children.spawn(self.settings.collector_command, env=env, stdio=stdio)
        for fd in set(stdio):
            os.close(fd)
        self.collector_pid = pid
        os.setpriority(os.PRIO_PROCESS, pid, START_NICENESS)
        self._children.watch(pid, lambda _: self._collector_ended(pid))

    def hurry_collector(self) -> None:
        """Give the collector its full share again, once the task has started."""
        if self.collector_pid:
            for thread in os.listdir(f"/proc/{self.collector_pid}/task"):
                os.setpriority(os.PRIO_PROCESS, int(thread), 0)

    def stop_collector(self) -> None:
        """Kill the collector; its data stay."""
        if self.collector_pid:
            pid, self.collector_pid = self.collector_pid, 0
            self._children.unwatch(pid)
            kill(pid, signal.SIGKILL)
            self._children.wait(pid, timeout_s=5.0)

    def _collector_ended(self, pid: int) -> None:
        if self.collector_pid == pid:
            self.collector_pid = 0

    def describe(self) -> dict[str, str]:
        """What the asking program needs to find the parts: ids and cgroups of the containers, the lab's folder."""
        facts = {"task": self.task_id, "arn": task_arn(self.task_id), "base": str(self.base)}
        for container in (self.pause, *self.listed):
            facts[f"id:{container.settings.name}"] = container.id
            facts[f"cgroup:{container.settings.name}"] = container.cgroup
        return facts


def assemble(settings: TaskSettings, owner: str, children: Children, note: Note) -> Assembly:
    """Put a task together up to its pause container; what guards and what is guarded is ready to be started."""
    base = choose_base(_sources(settings))
    mount("tmpfs", str(base), flags=MS_NOSUID | MS_NODEV, options="mode=711")
    (base / "logs").mkdir(mode=0o700)
    task = Assembly(settings, owner, base, children)
    network.make_task_namespace(task.network_namespace)
    task.prepare(task.pause)
    task.pause.begin(task.log_of(task.pause))
    network.connect_task(task.network_namespace)
    task.publish()
    task.start_services()
    task.start_collector()
    note("network, services")
    paused = task.pause.finish()
    for container in task.listed:
        task.prepare(container, pid_namespace=f"/proc/{paused}/ns/pid")
    note("containers laid out")
    return task


def _sources(settings: TaskSettings) -> tuple[str, ...]:
    containers = (settings.main, *settings.others, *((settings.sidecar,) if settings.sidecar else ()))
    return tuple(one.source for container in containers for one in container.mounts if one.source)
