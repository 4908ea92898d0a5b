"""The asking program's hold of a lab: its keeper, the socket to its supervisor, and a view of its folder."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from outrider_lab import protocol
from outrider_lab.process import LabGone, LabProcess, Pipes
from outrider_lab.protocol import Answer, Request
from outrider_wire.errors import Unavailable

STOP_TIMEOUT_S: Final = 10.0


class LabError(Exception):
    """The lab could not do what it was asked; the text is its reason."""


class Connection:
    """From `open` to `close`. Any thread may ask; `open` wants one that lives on."""

    def __init__(self) -> None:
        self.supervisor_pid = 0
        self.pidfd = -1
        self._keeper: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Start the keeper and, by it, the supervisor. Raises LabError."""
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
        self.pidfd = os.pidfd_open(self.supervisor_pid)

    def close(self) -> None:
        """End everything at once; nothing is left when this returns."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self.supervisor_pid and self._keeper is not None and self._keeper.poll() is None:
            kill(self.supervisor_pid)
        if self._keeper is not None:
            try:
                self._keeper.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._keeper.kill()
                self._keeper.wait()
            self._keeper = None
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    @property
    def keeper_pid(self) -> int:
        """0 where there is no keeper."""
        return self._keeper.pid if self._keeper is not None else 0

    def see(self, path: str) -> Path:
        """A path of the lab's own mount namespace, seen through the supervisor's root."""
        return Path(f"/proc/{self.supervisor_pid}/root{path}")

    def ask(self, request: Request, fds: tuple[int, ...] = ()) -> Answer:
        """Have something done. Raises Unavailable, LabError, LabGone."""
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

    def launch(
        self, request: Request, argv: Sequence[str], stdio: tuple[int, int, int] | None
    ) -> tuple[Answer, LabProcess, Pipes]:
        """Have a program started on `stdio`, or on pipes. Raises what `ask` does."""
        pipes = Pipes()
        theirs = (*stdio, pipes.theirs[3]) if stdio is not None else pipes.theirs
        try:
            answer = self.ask(request, theirs)
        except BaseException:
            pipes.close_ours()
            raise
        finally:
            pipes.close_theirs()
        return answer, LabProcess(argv, answer.pid, pipes.ours, lab=self.pidfd), pipes


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself
