"""A running task as tests and benches hold it: programs in its containers, and their processes seen from outside."""

import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from outrider_lab import cgroups, protocol
from outrider_lab.connection import Connection
from outrider_lab.members import TaskProcess, read_processes
from outrider_lab.process import LabProcess
from outrider_lab.protocol import Request
from outrider_lab.resident import Resident
from outrider_lab.settings import MAIN, RESIDENT_DIR, ContainerSettings


class RunningTask:
    """One task of a lab. Methods may be called from any thread. `facts` are what the lab tells of its parts."""

    def __init__(self, connection: Connection) -> None:
        self.facts: dict[str, str] = {}
        self.main: LabProcess | None = None
        self._connection = connection
        self._resident: Resident | None = None
        self._lock = threading.Lock()

    def run(
        self, command: str | Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cwd: str = ""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command line or an argv as a descendant of the guarded container's entry point (a resident shell)."""
        return self.popen(command, cwd=cwd).communicate(stdin, timeout_s=timeout_s)

    def popen(self, command: str | Sequence[str], *, cwd: str = "") -> LabProcess:
        """The same, without waiting for its end. Raises ValueError where the main container has its own command."""
        if self._resident is None:
            raise ValueError("the main container has a command of its own: use exec")
        with self._lock:
            return self._resident.start(command, cwd=cwd)

    def exec(
        self,
        argv: Sequence[str],
        *,
        container: str = MAIN,
        stdin: bytes = b"",
        timeout_s: float = 30.0,
        env: dict[str, str] | None = None,
        user: tuple[int, int] = (0, 0),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program in a container from outside, as ECS Exec does: it has no parent in the task."""
        return self.exec_popen(argv, container=container, env=env, user=user).communicate(stdin, timeout_s=timeout_s)

    def exec_popen(
        self,
        argv: Sequence[str],
        *,
        container: str = MAIN,
        env: dict[str, str] | None = None,
        user: tuple[int, int] = (0, 0),
        stdio: tuple[int, int, int] | None = None,
    ) -> LabProcess:
        """The same, without waiting for its end."""
        request = protocol.Exec(
            container=container, argv=tuple(argv), env=env or {}, uid=user[0], gid=user[1], task=self.id
        )
        return self._connection.launch(request, argv, stdio)[1]

    def beside_popen(self, argv: Sequence[str], *, env: dict[str, str] | None = None) -> LabProcess:
        """Start a program beside the task, where its peers are: an attacker's listener, a client."""
        request = protocol.RunBeside(argv=tuple(argv), env=env or {}, task=self.id)
        return self._connection.launch(request, argv, None)[1]

    def send_signal(self, target: str, number: int) -> None:
        """Send a signal to the first process of a container, or to `collector`."""
        self._connection.ask(protocol.Signal(target=target, number=number, task=self.id))

    def processes(self, container: str = MAIN) -> list[TaskProcess]:
        """The processes of a container, with their pids on this machine and in the task."""
        return read_processes(cgroups.members(self.facts[f"cgroup:{container}"]))

    def volume(self, container: str, target: str) -> Path:
        """A container's volume, seen from here."""
        at = f"{self.facts[f'folder:{container}']}/volumes/{target.strip('/').replace('/', '-')}"
        return self._connection.see(at)

    @property
    def id(self) -> str:
        """32 hexadecimal digits; empty before the start."""
        return self.facts.get("task", "")

    @property
    def arn(self) -> str:
        """The task's ARN."""
        return self.facts["arn"]

    @property
    def address(self) -> str:
        """Where the task is reached by its peers."""
        return self.facts["address"]

    @property
    def attacker(self) -> str:
        """Where the task reaches its peers."""
        return self.facts["attacker"]

    def _launch(
        self, request: Request, main: ContainerSettings, stdio: tuple[int, int, int] | None = None
    ) -> protocol.Answer:
        """Have the task started, and hold its main program. Raises Unavailable, LabError."""
        answer, self.main, pipes = self._connection.launch(request, main.command or ("sh",), stdio)
        self.facts = answer.facts
        if not main.command:
            folder = self.volume(main.name, RESIDENT_DIR)
            self._resident = Resident(pipes.ours[0], folder, lab=self._connection.pidfd)
        return answer

    def _let_go(self) -> None:
        if self.main is not None:
            self.main.close()
            self.main = None
