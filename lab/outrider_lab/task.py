"""`Task`: a Fargate-shaped task on this machine, for the command line, tests and benches.

    with Task(guarded_task()) as task:
        task.run("cp /bin/true /tmp/new && /tmp/new")
        task.findings(lambda found: bool(found), timeout_s=5)

Everything lives in namespaces that the kernel removes when the supervisor ends; see `keeper` for who watches whom.
Needs root; `needs.check_needs` says what is missing.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from outrider_lab import cgroups, protocol
from outrider_lab.collected import FindingsQuery, wait_for_findings
from outrider_lab.members import TaskProcess, read_processes
from outrider_lab.needs import check_needs
from outrider_lab.process import LabGone, LabProcess, Pipes
from outrider_lab.protocol import Answer, Request
from outrider_lab.resident import Resident
from outrider_lab.settings import JOURNAL_DIR, MAIN, RESIDENT_DIR, SIDECAR, TaskSettings, guarded_task
from outrider_wire.errors import Unavailable
from outrider_wire.findings import Finding

STOP_TIMEOUT_S: Final = 10.0


class LabError(Exception):
    """The lab could not do what it was asked; the text is its reason."""


class Task:
    """One task, from `start` to `close`. Methods may be called from any thread; `start` from one that lives on."""

    def __init__(self, settings: TaskSettings | None = None) -> None:
        self.settings = settings if settings is not None else guarded_task()
        self.timings_s: dict[str, float] = {}
        self.facts: dict[str, str] = {}
        self.ready = False
        self.main: LabProcess | None = None
        self.supervisor_pid = 0
        self._lab = -1
        self._keeper: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._resident: Resident | None = None
        self._lock = threading.Lock()

    def start(self, stdio: tuple[int, int, int] | None = None) -> Self:
        """Build the task and start everything; `stdio` are descriptors for the main program (default: pipes).

        Raises Unavailable, LabError.
        """
        check_needs()
        self._start_keeper()
        pipes = Pipes()
        theirs = (*stdio, pipes.theirs[3]) if stdio is not None else pipes.theirs
        try:
            answer = self._ask(protocol.Start(settings=self.settings, owner=""), theirs)
        except BaseException:
            self.close()
            raise
        finally:
            pipes.close_theirs()
        self.timings_s, self.facts, self.ready = answer.timings_s, answer.facts, answer.yes
        self.main = LabProcess(self.settings.main.command or ("sh",), answer.pid, pipes.ours, lab=self._lab)
        if not self.settings.main.command:
            self._resident = Resident(pipes.ours[0], self.volume(MAIN, RESIDENT_DIR), lab=self._lab)
        return self

    def close(self) -> None:
        """End everything at once; nothing is left when this returns."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self.supervisor_pid and self._keeper is not None and self._keeper.poll() is None:
            _kill(self.supervisor_pid)
        if self._keeper is not None:
            try:
                self._keeper.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._keeper.kill()
                self._keeper.wait()
            self._keeper = None
        if self.main is not None:
            self.main.close()
            self.main = None
        if self._lab >= 0:
            os.close(self._lab)
            self._lab = -1

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        request = protocol.Exec(container=container, argv=tuple(argv), env=env or {}, uid=user[0], gid=user[1])
        return self._launch(request, argv, stdio)

    def beside_popen(self, argv: Sequence[str], *, env: dict[str, str] | None = None) -> LabProcess:
        """Start a program beside the task, in the lab's network: an attacker's listener, a client."""
        return self._launch(protocol.RunBeside(argv=tuple(argv), env=env or {}), argv, None)

    def send_signal(self, target: str, number: int) -> None:
        """Send a signal to the first process of a container, or to `collector`."""
        self._ask(protocol.Signal(target=target, number=number))

    def control(self, target: str, action: str) -> None:
        """`sidecar` or `collector`, `start` or `stop` (at once, no restart); `app`, `restart`."""
        self._ask(protocol.Control(target=target, action=action))

    def wait_ready(self, *, timeout_s: float = 5.0) -> bool:
        """Wait until the sidecar says that it sees."""
        return self._ask(protocol.AwaitReady(timeout_s=timeout_s)).yes

    def stop_sidecar(self) -> None:
        """Stop the task's containers as ECS does: SIGTERM, the stop timeout, SIGKILL. The collector goes on."""
        self._ask(protocol.Stop())

    def findings(
        self, wait_for: Callable[[list[Finding]], bool] | None = None, *, timeout_s: float = 5.0
    ) -> list[Finding]:
        """What the collector holds, oldest first; waits until `wait_for` holds or the time is up."""
        query = FindingsQuery(f"/proc/{self.supervisor_pid}/ns/net", self.settings.token)
        return wait_for_findings(query, wait_for, timeout_s=timeout_s)

    def processes(self, container: str = MAIN) -> list[TaskProcess]:
        """The processes of a container, with their pids on this machine and in the task."""
        return read_processes(cgroups.members(self.facts[f"cgroup:{container}"]))

    def sidecar_pids(self) -> list[int]:
        """The sidecar's processes, as pids of this machine: what a test may signal."""
        return [process.pid for process in self.processes(SIDECAR)]

    def kill_sidecar(self, number: int = signal.SIGKILL) -> list[int]:
        """Send a signal to every process of the sidecar; the answer is whom it was sent to."""
        pids = self.sidecar_pids()
        for pid in pids:
            _kill(pid, number)
        return pids

    @property
    def folder(self) -> Path:
        """The lab's folder, seen through the supervisor's root: `logs`, `collector`, `containers`."""
        return Path(f"/proc/{self.supervisor_pid}/root{self.facts['base']}")

    def volume(self, container: str, target: str) -> Path:
        """A container's volume, seen from here."""
        return self.folder / "containers" / container / "volumes" / target.strip("/").replace("/", "-")

    @property
    def journal(self) -> Path:
        """The sidecar's journal volume, seen from here."""
        return self.volume(SIDECAR, JOURNAL_DIR)

    def log(self, name: str) -> str:
        """What the sidecar (`outrider`), the `collector` or another container wrote."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="backslashreplace")

    def _start_keeper(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "outrider_lab.keeper", str(theirs.fileno()), str(os.getpid())]
        with theirs:
            self._keeper = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        self._sock = ours
        said = ours.recv(64)
        if not said:
            self.close()
            raise LabError("the lab's keeper ended before it began; its reason is on standard error")
        self.supervisor_pid = int(said)
        self._lab = os.pidfd_open(self.supervisor_pid)

    def _launch(self, request: Request, argv: Sequence[str], stdio: tuple[int, int, int] | None) -> LabProcess:
        pipes = Pipes()
        theirs = (*stdio, pipes.theirs[3]) if stdio is not None else pipes.theirs
        try:
            answer = self._ask(request, theirs)
        except BaseException:
            pipes.close_ours()
            raise
        finally:
            pipes.close_theirs()
        return LabProcess(argv, answer.pid, pipes.ours, lab=self._lab)

    def _ask(self, request: Request, fds: tuple[int, ...] = ()) -> Answer:
        with self._lock:
            if self._sock is None:
                raise LabGone("the task is closed")
            try:
                protocol.send(self._sock, request, fds)
                answer = protocol.receive_answer(self._sock)
            except (EOFError, BrokenPipeError) as error:
                raise LabGone("the lab's supervisor is gone") from error
        if answer.unavailable:
            raise Unavailable(answer.error, answer.remedy)
        if answer.error:
            raise LabError(answer.error)
        return answer


def _kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself
