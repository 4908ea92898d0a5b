"""`Task`: a Fargate-shaped task on this machine, for the command line, tests and benches.

    with Task(guarded_task()) as task:
        task.run("cp /bin/true /tmp/new && /tmp/new")
        task.findings(lambda found: bool(found), timeout_s=5)

Everything lives in namespaces that the kernel removes when the supervisor ends; see `keeper` for who watches whom.
Needs root; `needs.check_needs` says what is missing.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from outrider_lab import protocol
from outrider_lab.collected import FindingsQuery, wait_for_findings
from outrider_lab.connection import Connection, LabError, kill
from outrider_lab.needs import check_needs
from outrider_lab.running import RunningTask
from outrider_lab.settings import JOURNAL_DIR, SIDECAR, TaskSettings, guarded_task
from outrider_wire.findings import Finding

__all__ = ["LabError", "Task"]


class Task(RunningTask):
    """One task, from `start` to `close`, and the lab that it is. `start` wants a thread that lives on."""

    def __init__(self, settings: TaskSettings | None = None) -> None:
        super().__init__(Connection())
        self.settings = settings if settings is not None else guarded_task()
        self.timings_s: dict[str, float] = {}
        self.ready = False

    def start(self, stdio: tuple[int, int, int] | None = None) -> Self:
        """Build the task and start everything; `stdio` are descriptors for the main program (default: pipes).

        Raises Unavailable, LabError.
        """
        check_needs()
        self._connection.open()
        try:
            answer = self._launch(protocol.Start(settings=self.settings), self.settings.main, stdio)
        except BaseException:
            self.close()
            raise
        self.timings_s, self.ready = answer.timings_s, answer.yes
        return self

    def close(self) -> None:
        """End everything at once; nothing is left when this returns."""
        self._connection.close()
        self._let_go()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def control(self, target: str, action: str) -> None:
        """`sidecar` or `collector`, `start` or `stop` (at once, no restart); `app`, `restart`."""
        self._connection.ask(protocol.Control(target=target, action=action))

    def wait_ready(self, *, timeout_s: float = 5.0) -> bool:
        """Wait until the sidecar says that it sees."""
        return self._connection.ask(protocol.AwaitReady(timeout_s=timeout_s)).yes

    def stop_sidecar(self) -> None:
        """Stop the task's containers as ECS does: SIGTERM, the stop timeout, SIGKILL. The collector goes on."""
        self._connection.ask(protocol.Stop())

    def findings(
        self, wait_for: Callable[[list[Finding]], bool] | None = None, *, timeout_s: float = 5.0
    ) -> list[Finding]:
        """What the collector holds, oldest first; waits until `wait_for` holds or the time is up."""
        query = FindingsQuery(f"/proc/{self.supervisor_pid}/ns/net", self.settings.token)
        return wait_for_findings(query, wait_for, timeout_s=timeout_s)

    def sidecar_pids(self) -> list[int]:
        """The sidecar's processes, as pids of this machine: what a test may signal."""
        return [process.pid for process in self.processes(SIDECAR)]

    def kill_sidecar(self, number: int = signal.SIGKILL) -> list[int]:
        """Send a signal to every process of the sidecar; the answer is whom it was sent to."""
        pids = self.sidecar_pids()
        for pid in pids:
            kill(pid, number)
        return pids

    @property
    def supervisor_pid(self) -> int:
        """The first process of the lab, as a pid of this machine."""
        return self._connection.supervisor_pid

    @property
    def keeper_pid(self) -> int:
        """The process that outlives the lab by one sweep."""
        return self._connection.keeper_pid

    @property
    def folder(self) -> Path:
        """The lab's folder, seen through the supervisor's root: `logs`, `collector`, `containers`."""
        return self._connection.see(self.facts["base"])

    @property
    def journal(self) -> Path:
        """The sidecar's journal volume, seen from here."""
        return self.volume(SIDECAR, JOURNAL_DIR)

    def log(self, name: str) -> str:
        """What the sidecar (`outrider`), the `collector` or another container wrote."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="backslashreplace")
