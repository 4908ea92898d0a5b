"""The supervisor: builds a lab, keeps its guard running, and does what the asking program wants of it.

It is the first process of the lab's PID namespace, in mount and network namespaces of its own, and has one thread:
one loop waits for a request, for a child that ended, for the keeper, or for the time of a restart.
"""

import os
import select
import signal
import socket
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from outrider_lab.crew import Crew, Guarded
from outrider_lab.fargate import FargateLab
from outrider_lab.ground import Ground
from outrider_lab.guardian import Guardian
from outrider_lab.host.instance import HostInstance
from outrider_lab.host.link import HostLink
from outrider_lab.namespaces import CLONE_NEWNET, entered
from outrider_lab.protocol import (
    Answer,
    AwaitReady,
    Control,
    Exec,
    Request,
    RunBeside,
    Signal,
    Start,
    StartHost,
    StartTask,
    Stop,
    StopTask,
    receive_request,
    send,
)
from outrider_lab.runc import StartFailed, kill
from outrider_wire.errors import Unavailable


def supervise(sock: socket.socket, owner: str, link: HostLink) -> int:
    """Serve one asking program until it is gone; the answer is our exit code."""
    wake_reader, wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    supervisor = Supervisor(owner, link)
    poll = select.poll()
    for fd in (sock.fileno(), wake_reader, link.fileno()):
        poll.register(fd, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll(supervisor.wait_ms())}
        if wake_reader in ready:
            os.read(wake_reader, 4096)
        supervisor.pump()
        if sock.fileno() in ready:
            try:
                request, fds = receive_request(sock)
                send(sock, supervisor.answer(request, fds))
            except (EOFError, ConnectionError):
                return 0


class Lab(Protocol):
    """What runs under a supervisor: one task, or a container instance with several."""

    @property
    def ground(self) -> Ground: ...
    @property
    def guardian(self) -> Guardian | None: ...

    def task(self, name: str) -> Guarded:
        """Raises ValueError for a name that no task has."""

    def pid_of(self, target: str, task: str) -> int:
        """The first process of a part; 0 where it does not run. Raises ValueError."""

    def control(self, target: str, action: str) -> None:
        """Start or stop what is beside the tasks. Raises ValueError for an order that makes no sense."""

    def beside(self, task: str) -> Path | None:
        """The network namespace that the peers of a task are in; None is the lab's own."""

    def stop(self) -> None:
        """Stop the guarded containers and then the guard."""


class Supervisor:
    """The lab and what is going on in it."""

    def __init__(self, owner: str, link: HostLink) -> None:
        self._owner = owner
        self._link = link
        self._crew = Crew()
        self._lab: Lab | None = None
        self._began = time.monotonic()
        self._timings: dict[str, float] = {}

    def wait_ms(self) -> int | None:
        """How long the loop may sleep: until the guard is due, else for ever."""
        if self._crew.busy:
            return 0
        guardian = self._lab.guardian if self._lab else None
        if guardian is None or guardian.due_at is None:
            return None
        return max(0, int((guardian.due_at - time.monotonic()) * 1000) + 1)

    def pump(self) -> None:
        """One turn of all that goes on by itself."""
        self._crew.pump()

    def answer(self, request: Request, fds: list[int]) -> Answer:
        """Do what is asked; what fails is told, never raised."""
        try:
            return self._do(request, fds)
        except Unavailable as error:
            return Answer(error=error.reason, remedy=error.remedy, unavailable=True)
        except (StartFailed, TimeoutError, OSError, ValueError, KeyError) as error:
            return Answer(error=f"{type(error).__name__}: {error}")

    def _do(self, request: Request, fds: list[int]) -> Answer:
        match request:
            case Start() | StartHost():
                return self._start(request, fds)
            case StartTask():
                return self.instance.start_task(request.settings, fds)
            case StopTask():
                self.instance.stop_task(request.task, timeout_s=request.timeout_s)
            case Exec():
                return self._exec(request, fds)
            case RunBeside():
                return self._run_beside(request, fds)
            case Signal():
                self._signal(request)
            case Control():
                self._control(request)
            case AwaitReady():
                guardian = self.lab.guardian
                return Answer(yes=guardian is not None and self._crew.wait(guardian.is_ready, request.timeout_s))
            case Stop():
                self.lab.stop()
        return Answer()

    @property
    def lab(self) -> Lab:
        """Raises ValueError before the lab was started."""
        if self._lab is None:
            raise ValueError("the lab was not started")
        return self._lab

    @property
    def instance(self) -> HostInstance:
        """Raises ValueError where the lab is no container instance."""
        if not isinstance(self._lab, HostInstance):
            raise ValueError("this lab is one task, and no container instance")
        return self._lab

    def _start(self, request: Start | StartHost, fds: list[int]) -> Answer:
        timings: dict[str, float] = {}

        def note(what: str) -> None:
            timings[what] = time.monotonic() - self._began

        lab: FargateLab | HostInstance
        if isinstance(request, Start):
            lab = FargateLab(request.settings, self._owner, self._crew, note)
        else:
            lab = HostInstance(request.settings, self._owner, self._crew, self._link, note)
        self._lab = lab
        if lab.guardian is not None:
            self._crew.chores.append(lab.guardian.begin_if_due)
        return replace(lab.start(fds), timings_s=timings)

    def _exec(self, request: Exec, fds: list[int]) -> Answer:
        container = self.lab.task(request.task).container(request.container)
        described = container.process(
            request.argv,
            env=request.env,
            cwd=request.cwd,
            user=(request.uid, request.gid),
            added=request.added_capabilities,
        )
        return self._crew.watch(self.lab.ground.runc.exec(container.id, described, stdio=fds[:3]), fds)

    def _run_beside(self, request: RunBeside, fds: list[int]) -> Answer:
        network = self.lab.beside(request.task)
        with entered(str(network), CLONE_NEWNET) if network else nullcontext():
            pid = self._crew.children.spawn(request.argv, env={**os.environ, **request.env}, stdio=fds[:3])
        return self._crew.watch(pid, fds)

    def _signal(self, request: Signal) -> None:
        pid = self.lab.pid_of(request.target, request.task)
        if not pid:
            raise ValueError(f"{request.target} does not run")
        kill(pid, signal.Signals(request.number))

    def _control(self, request: Control) -> None:
        guardian = self.lab.guardian
        match request.target, request.action:
            case "sidecar", "stop" if guardian:
                guardian.stop(self._crew.wait, timeout_s=0)
            case "sidecar", "start" if guardian:
                guardian.start()
            case "app", "restart":
                self._crew.restart_main(self.lab.task(request.task))
            case _:
                self.lab.control(request.target, request.action)
