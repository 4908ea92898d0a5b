"""`HostLab`: an EC2 container instance on this machine, its tasks guarded by one host process.

    with HostLab(HostSettings(tasks=(HostTaskSettings(), HostTaskSettings(network="bridge")))) as lab:
        lab.tasks[0].run("cp /bin/true /tmp/new && /tmp/new")
        lab.findings(lambda found: any(one.task and one.task.arn == lab.tasks[0].arn for one in found))

The host process is in the machine's own PID and network namespaces, as the proc connector wants it; everything else
is in namespaces that the kernel removes when the supervisor ends. See `keeper` for who ends the host process.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from outrider_lab import protocol
from outrider_lab.collected import FindingsQuery, wait_for_findings
from outrider_lab.connection import Connection, kill
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.members import descendants
from outrider_lab.needs import check_needs
from outrider_lab.running import RunningTask
from outrider_lab.settings import SIDECAR
from outrider_wire.findings import Finding


class HostedTask(RunningTask):
    """One task of an instance."""

    def __init__(self, connection: Connection, settings: HostTaskSettings) -> None:
        super().__init__(connection)
        self.settings = settings

    def start(self, stdio: tuple[int, int, int] | None = None) -> Self:
        """Start it; `HostLab.start_task` does. Raises LabError."""
        self._launch(protocol.StartTask(settings=self.settings), self.settings.main, stdio)
        return self

    def restart(self) -> None:
        """Kill the main container, and start it again on what it wrote."""
        self._connection.ask(protocol.Control(target="app", action="restart", task=self.id))

    def close(self) -> None:
        """Let go of the main program's pipes."""
        self._let_go()


class HostLab:
    """An instance, from `start` to `close`. `tasks` are those that run, in the order of their start."""

    def __init__(self, settings: HostSettings | None = None) -> None:
        self.settings = settings if settings is not None else HostSettings()
        self.tasks: list[HostedTask] = []
        self.timings_s: dict[str, float] = {}
        self.facts: dict[str, str] = {}
        self.ready = False
        self._connection = Connection()

    def start(self, stdio: tuple[int, int, int] | None = None) -> Self:
        """Build the instance, start the host process, then the tasks; `stdio` is for the first task's main program.

        Raises Unavailable, LabError.
        """
        check_needs()
        self._connection.open()
        try:
            answer = self._connection.ask(protocol.StartHost(settings=self.settings))
            self.timings_s, self.facts, self.ready = answer.timings_s, answer.facts, answer.yes
            for number, task in enumerate(self.settings.tasks):
                self.start_task(task, stdio=None if number else stdio)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End everything at once, the host process too; nothing is left when this returns."""
        self._connection.close()
        for task in self.tasks:
            task.close()
        self.tasks.clear()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start_task(
        self, settings: HostTaskSettings | None = None, *, stdio: tuple[int, int, int] | None = None
    ) -> HostedTask:
        """Start one more task while the others run."""
        task = HostedTask(self._connection, settings or HostTaskSettings()).start(stdio)
        self.tasks.append(task)
        return task

    def stop_task(self, task: HostedTask | int, *, timeout_s: float = 0.5) -> None:
        """Stop a task (or the one of that number): SIGTERM, `timeout_s`, SIGKILL. Nothing is left of it."""
        gone = self.tasks[task] if isinstance(task, int) else task
        self.tasks.remove(gone)
        self._connection.ask(protocol.StopTask(task=gone.id, timeout_s=timeout_s))
        gone.close()

    def findings(
        self, wait_for: Callable[[list[Finding]], bool] | None = None, *, timeout_s: float = 5.0
    ) -> list[Finding]:
        """What the collector holds, oldest first; waits until `wait_for` holds or the time is up."""
        host, _, port = self.facts["collector"].rpartition(":")
        namespace = f"/proc/{self._connection.keeper_pid}/ns/net"
        query = FindingsQuery(namespace, self.settings.token, (host, int(port)))
        return wait_for_findings(query, wait_for, timeout_s=timeout_s)

    def control(self, target: str, action: str) -> None:
        """`outrider`, `collector` or `agent`, `start` or `stop` (at once, no restart)."""
        part = "sidecar" if target == SIDECAR else target
        self._connection.ask(protocol.Control(target=part, action=action))

    def wait_ready(self, *, timeout_s: float = 10.0) -> bool:
        """Wait until the host process says that it sees."""
        self.ready = self._connection.ask(protocol.AwaitReady(timeout_s=timeout_s)).yes
        return self.ready

    def stop(self) -> None:
        """Tell every task to end, and stop the host process as systemd does: SIGTERM, the stop timeout, SIGKILL."""
        self._connection.ask(protocol.Stop())

    def outrider_pids(self) -> list[int]:
        """The host process and its children, and what they left behind, as pids of this machine."""
        return descendants(self._connection.keeper_pid, but=self._connection.supervisor_pid)

    def kill_outrider(self, number: int = signal.SIGKILL) -> list[int]:
        """Send a signal to every process of Outrider; the answer is whom it was sent to."""
        pids = self.outrider_pids()
        for pid in pids:
            kill(pid, number)
        return pids

    @property
    def supervisor_pid(self) -> int:
        """The first process of the lab, as a pid of this machine."""
        return self._connection.supervisor_pid

    @property
    def keeper_pid(self) -> int:
        """The parent of the lab's supervisor and of the host process."""
        return self._connection.keeper_pid

    @property
    def folder(self) -> Path:
        """The lab's folder, seen through the supervisor's root: `logs`, `collector`, `outrider`, `tasks`."""
        return self._connection.see(self.facts["base"])

    @property
    def journal(self) -> Path:
        """The host process's journal."""
        return self._connection.see(self.facts["journal"])

    def log(self, name: str = SIDECAR) -> str:
        """What the host process (`outrider`), the `collector` or (`FAMILY-NAME`) a container wrote."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="backslashreplace")
