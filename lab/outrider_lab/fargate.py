"""A Fargate task at work, inside the supervisor: what is asked for, done to one task and its sidecar."""

import signal

from outrider_lab.assembly import Assembly, assemble
from outrider_lab.crew import Crew
from outrider_lab.ground import Ground, Note
from outrider_lab.guardian import Guardian, Sidecar
from outrider_lab.protocol import Answer
from outrider_lab.runc import kill
from outrider_lab.settings import TaskSettings


class FargateLab:
    """One task, its sidecar, its collector."""

    def __init__(self, settings: TaskSettings, owner: str, crew: Crew, note: Note) -> None:
        self._settings = settings
        self._crew = crew
        self._note = note
        self._task: Assembly = assemble(settings, owner, crew.children, note)
        self.ground: Ground = self._task.ground
        self.guardian = self._make_guardian()

    def start(self, fds: list[int]) -> Answer:
        """Start the sidecar and then the rest, or the other way round."""
        settings, guardian = self._settings, self.guardian
        if guardian and not settings.late_sidecar:
            guardian.start()
            self._note("sidecar program")
            if settings.ready_timeout_s:
                self._crew.wait(guardian.is_ready, settings.ready_timeout_s)
                self._note("sidecar ready")
        self._crew.start_task(self._task, fds)
        self._note("guarded program")
        self._task.collector.hurry()
        if guardian and settings.late_sidecar:
            guardian.start()
            self._note("sidecar program")
        ready = guardian is not None and guardian.is_ready()
        return Answer(facts=self._task.describe(), pid=self._task.main.pid, yes=ready)

    def _make_guardian(self) -> Guardian | None:
        task, settings = self._task, self._settings
        if task.sidecar is None:
            return None
        body = Sidecar(task.sidecar, task.ground, task.publish, self._crew.later)
        return Guardian(body, task.ready_file, restart=settings.restart_sidecar, delay_s=settings.restart_delay_s)

    def task(self, name: str) -> Assembly:
        """The one task there is. Raises ValueError for the name of another."""
        if name not in ("", self._task.task_id):
            raise ValueError(f"no task is called {name}")
        return self._task

    def pid_of(self, target: str, task: str) -> int:
        """The first process of a container, or the collector's; 0 where it does not run."""
        return self._task.collector.pid if target == "collector" else self.task(task).container(target).pid

    def control(self, target: str, action: str) -> None:
        """Raises ValueError for an order that makes no sense."""
        self._task.collector.control(target, action)

    def beside(self, task: str) -> None:
        """Peers are in the lab's own network."""

    def stop(self) -> None:
        """Stop every container, the sidecar last and with time to spare."""
        for container in (self._task.main, *self._task.others):
            if container.pid:
                kill(container.pid, signal.SIGTERM)
        if self.guardian:
            self.guardian.stop(self._crew.wait, timeout_s=self._settings.stop_timeout_s)
