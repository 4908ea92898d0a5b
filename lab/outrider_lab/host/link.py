"""How the supervisor has the keeper run Outrider's host process: messages over a socket pair.

The proc connector answers only in the machine's first PID and network namespaces, and a process cannot go back to
an outer PID namespace. So the host process is the keeper's child, in the machine's own namespaces; the supervisor
decides when it runs. The kernel ends it with the keeper (PR_SET_PDEATHSIG), the keeper with the supervisor.

The keeper adopts what the host process leaves behind, so that at the end of the lab nothing of it goes on.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from outrider_lab.children import exit_code
from outrider_lab.namespaces import adopt_orphans, die_with_parent
from outrider_lab.runc import StartFailed

MAX_MESSAGE: Final = 64 << 10
ANSWER_TIMEOUT_S: Final = 10.0
END_TIMEOUT_S: Final = 2.0
"""How long what an ended host process started has, to end by itself."""


class Launch(Struct, frozen=True, tag=True):
    """Start this. Descriptors: stdin, stdout, stderr."""

    argv: tuple[str, ...]
    env: dict[str, str]


class Send(Struct, frozen=True, tag=True):
    """Send a signal to what runs."""

    number: int


class Launched(Struct, frozen=True, tag=True):
    """It was started; `pid` is of the machine's PID namespace."""

    pid: int


class Ended(Struct, frozen=True, tag=True):
    """It is over, with an exit code as shells give it."""

    code: int


_orders = msgspec.json.Decoder(Launch | Send)
_reports = msgspec.json.Decoder(Launched | Ended)


class HostLink:
    """The supervisor's end. One program at a time.

    `network` is a descriptor of the machine's network namespace, `supervisor` the pid that we have on the machine.
    """

    def __init__(self, sock: socket.socket, *, network: int, supervisor: int) -> None:
        self.network = network
        self.supervisor = supervisor
        self._sock = sock
        self._ended: Callable[[], None] | None = None

    def fileno(self) -> int:
        """What becomes readable when the program ended."""
        return self._sock.fileno()

    @property
    def runs(self) -> bool:
        """Whether the program runs, as far as was told."""
        return self._ended is not None

    def launch(self, argv: Sequence[str], env: dict[str, str], fds: Sequence[int], ended: Callable[[], None]) -> int:
        """Have it started; the answer is its pid on this machine. Raises StartFailed."""
        socket.send_fds(self._sock, [msgspec.json.encode(Launch(tuple(argv), env))], list(fds))
        if not select.select([self._sock], [], [], ANSWER_TIMEOUT_S)[0]:
            raise StartFailed("the keeper does not answer")
        report = _reports.decode(self._sock.recv(MAX_MESSAGE))
        if not isinstance(report, Launched):
            raise StartFailed(f"the keeper answered {report}")
        self._ended = ended
        return report.pid

    def send(self, number: int) -> None:
        """Send a signal to the program."""
        self._sock.send(msgspec.json.encode(Send(number)))

    def pump(self) -> None:
        """Hear whether it ended, without waiting."""
        if self._ended is not None and select.select([self._sock], [], [], 0)[0]:
            data = self._sock.recv(MAX_MESSAGE)
            if data and isinstance(_reports.decode(data), Ended):
                ended, self._ended = self._ended, None
                ended()


class HostProcess:
    """The keeper's end: the program, and what it is asked to do with it. `spared` is a child of other use."""

    def __init__(self, sock: socket.socket, *, spared: int) -> None:
        self._sock = sock
        self._spared = spared
        self._pid = 0
        self._pidfd = -1
        self._started = False
        adopt_orphans()

    def filenos(self) -> list[int]:
        """What becomes readable when there is something to do."""
        return [self._sock.fileno(), *([self._pidfd] if self._pidfd >= 0 else [])]

    @property
    def started(self) -> bool:
        """Whether there ever was a program, so that there may be orphans."""
        return self._started

    def turn(self, ready: set[int]) -> bool:
        """Do what is to be done; False when the supervisor is gone."""
        if self._pidfd in ready:
            self._tell_end()
        self._reap_orphans()
        return self._sock.fileno() not in ready or self._obey()

    def end(self) -> None:
        """Kill the program, and then whatever of it does not go by itself. The supervisor is gone by now."""
        if self._pid:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        deadline = time.monotonic() + END_TIMEOUT_S
        while children := own_children():
            if time.monotonic() > deadline:
                for pid in children:
                    _kill(pid)
            os.waitpid(-1, os.WNOHANG)
            time.sleep(0.005)

    def _reap_orphans(self) -> None:
        for pid in own_children() if self._started else ():
            if pid not in (self._pid, self._spared):
                os.waitpid(pid, os.WNOHANG)

    def _obey(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._sock, MAX_MESSAGE, 3, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return False
        order = _orders.decode(data)
        if isinstance(order, Launch):
            self._launch(order, fds)
        elif self._pid:
            signal.pidfd_send_signal(self._pidfd, order.number)
        return True

    def _launch(self, order: Launch, fds: Sequence[int]) -> None:
        keeper = os.getpid()
        self._started = True
        self._pid = os.fork()
        if self._pid == 0:
            _become(order, fds, keeper)
        for fd in set(fds):
            os.close(fd)
        self._pidfd = os.pidfd_open(self._pid)
        self._sock.send(msgspec.json.encode(Launched(self._pid)))

    def _tell_end(self) -> None:
        _, status = os.waitpid(self._pid, 0)
        os.close(self._pidfd)
        self._pid, self._pidfd = 0, -1
        self._sock.send(msgspec.json.encode(Ended(exit_code(status))))


def _become(order: Launch, fds: Sequence[int], keeper: int) -> None:
    """Turn into the program; never returns."""
    try:
        die_with_parent(signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        os.execvpe(order.argv[0], order.argv, order.env)
    except OSError as error:
        os.write(2, f"{order.argv[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def own_children() -> list[int]:
    """The pids of the calling process's children, zombies among them."""
    pid = os.getpid()
    with open(f"/proc/{pid}/task/{pid}/children") as listing:
        return [int(word) for word in listing.read().split()]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself
