"""A container instance at work, inside the supervisor: its tasks come and go, the host process guards them all."""

import signal
from pathlib import Path
from random import SystemRandom
from typing import Final

from outrider_lab import network
from outrider_lab.assembly import sources_of
from outrider_lab.blueprint import READY_FILE
from outrider_lab.collector import Collector
from outrider_lab.crew import Crew
from outrider_lab.ground import Ground, Note
from outrider_lab.guardian import Guardian
from outrider_lab.host.assembly import HostTask, numbers_wanted
from outrider_lab.host.guard import HostGuard, guard_environment
from outrider_lab.host.link import HostLink
from outrider_lab.host.machine import Machine
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.namespaces import MS_NODEV, MS_NOSUID, mount
from outrider_lab.protocol import Answer
from outrider_lab.runc import kill
from outrider_lab.services import run_aside, run_services

JOURNAL: Final = "outrider"
"""The folder of the journal, below the lab's own."""


class HostInstance:
    """Tasks, the host process, the collector, and what they find around them."""

    def __init__(self, settings: HostSettings, owner: str, crew: Crew, link: HostLink, note: Note) -> None:
        self._settings = settings
        self._crew = crew
        self._note = note
        self._tasks: dict[str, HostTask] = {}
        self._numbers = list(range(network.LAST_NUMBER, network.FIRST_NUMBER - 1, -1))
        containers = tuple(one for task in settings.tasks for one in (task.main, *task.others))
        self.ground = Ground(owner, crew.children, sources_of(containers))
        self.cluster = owner
        network.lay_bridge()
        self._machine = Machine(self.ground, self.cluster, link.network, SystemRandom())
        self._journal = self._make_journal()
        self._collector = self._make_collector()
        self.guardian = self._make_guardian(link)
        crew.chores.append(link.pump)

    def start(self, fds: list[int]) -> Answer:
        """Start everything but the tasks; there are no descriptors to hand on."""
        if fds:
            raise ValueError("a container instance has no program of its own")
        self.publish()
        run_aside(lambda: run_services(self.ground.facts))
        self._machine.start_names()
        self._machine.start_agent()
        self._collector.start()
        self._note("network, services")
        if self.guardian and not self._settings.late:
            self.guardian.start()
            self._note("host process")
            if self._settings.ready_timeout_s:
                self._crew.wait(self.guardian.is_ready, self._settings.ready_timeout_s)
                self._note("host process ready")
        self._collector.hurry()
        return Answer(facts=self._describe(), yes=self.guardian is not None and self.guardian.is_ready())

    def start_task(self, settings: HostTaskSettings, fds: list[int]) -> Answer:
        """Start one more task; the answer is of its main program."""
        wanted = numbers_wanted(settings)
        if wanted > len(self._numbers):
            raise ValueError("the lab's network has no address left")
        numbers = tuple(self._numbers.pop() for _ in range(wanted))
        task = HostTask(settings, self.ground, self._machine, numbers, self.publish)
        self._tasks[task.task_id] = task
        self.publish()
        self._crew.start_task(task, fds)
        return Answer(facts=task.describe(self.cluster), pid=task.main.pid)

    def stop_task(self, name: str, *, timeout_s: float) -> None:
        """End a task's containers and take away all that was theirs. Raises ValueError, TimeoutError."""
        task = self.task(name)
        self._signal(task, signal.SIGTERM)
        if not self._crew.wait(lambda: not task.runs, timeout_s):
            self._signal(task, signal.SIGKILL)
            if not self._crew.wait(lambda: not task.runs, 5.0):
                raise TimeoutError(f"task {name} does not end")
        del self._tasks[name]
        self.publish()
        task.remove()
        self._numbers.extend(task.numbers)

    def task(self, name: str) -> HostTask:
        """Raises ValueError for a name that no task has."""
        if name not in self._tasks:
            raise ValueError(f"no task is called {name!r}")
        return self._tasks[name]

    def pid_of(self, target: str, task: str) -> int:
        """The first process of a container, or the collector's; 0 where it does not run."""
        return self._collector.pid if target == "collector" else self.task(task).container(target).pid

    def control(self, target: str, action: str) -> None:
        """Raises ValueError for an order that makes no sense."""
        match target, action:
            case "agent", "start":
                self._machine.start_agent()
            case "agent", "stop":
                self._machine.stop_agent()
            case _:
                self._collector.control(target, action)

    def beside(self, task: str) -> Path | None:
        """A task in `host` network mode has its peers on the machine's loopback."""
        return self.task(task).peers if task else None

    def stop(self) -> None:
        """Tell every container to end, and stop the host process."""
        for task in self._tasks.values():
            self._signal(task, signal.SIGTERM)
        if self.guardian:
            self.guardian.stop(self._crew.wait, timeout_s=self._settings.stop_timeout_s)

    def publish(self) -> None:
        """Tell the agent of the tasks as they are now."""
        self.ground.publish([task.facts(self.cluster) for task in self._tasks.values() if task.settings.listed])

    def _signal(self, task: HostTask, number: signal.Signals) -> None:
        for container in task.listed:
            if container.pid:
                kill(container.pid, number)

    def _describe(self) -> dict[str, str]:
        host, port = self._machine.collector
        return {
            "base": str(self.ground.base),
            "journal": str(self._journal),
            "cluster": self.cluster,
            "agent_uri": self._machine.agent_uri,
            "collector": f"{host}:{port}",
        }

    def _make_journal(self) -> Path:
        journal = self.ground.base / JOURNAL
        journal.mkdir()
        options = f"size={self._settings.journal_size_bytes},mode=700"
        mount("tmpfs", str(journal), flags=MS_NOSUID | MS_NODEV, options=options, source="journal")
        return journal

    def _make_collector(self) -> Collector:
        host, port = self._machine.collector
        env = {
            "OUTRIDER_COLLECTOR_LISTEN": f"{host}:{port}",
            "OUTRIDER_COLLECTOR_TOKEN": self._settings.token,
            **self._settings.collector_env,
        }
        return Collector(self.ground, self._settings.collector_command, env, network=self._machine.network)

    def _make_guardian(self, link: HostLink) -> Guardian | None:
        settings = self._settings
        if not settings.command:
            return None
        env = guard_environment(settings, self._machine, self._journal, link.supervisor)
        body = HostGuard(link, self.ground, settings.command, env)
        return Guardian(body, self._journal / READY_FILE, restart=settings.restart, delay_s=settings.restart_delay_s)
