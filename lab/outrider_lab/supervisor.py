"""The supervisor: builds a task, keeps its sidecar running, and does what the asking program wants of it.

It is the first process of the lab's PID namespace, in mount and network namespaces of its own, and has one thread:
one loop waits for a request, for a child that ended, or for the time of a restart.
"""

import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable

from outrider_lab.assembly import Assembly, assemble
from outrider_lab.children import Children
from outrider_lab.container import Container
from outrider_lab.protocol import (
    Answer,
    AwaitReady,
    Control,
    Exec,
    Request,
    RunBeside,
    Signal,
    Start,
    Stop,
    receive_request,
    send,
)
from outrider_lab.runc import StartFailed, kill
from outrider_wire.errors import Unavailable

TICK_S = 0.002
"""How often a condition is looked at while waiting for it."""


def supervise(sock: socket.socket, owner: str) -> int:
    """Serve one asking program until it is gone; the answer is our exit code."""
    wake_reader, wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    supervisor = Supervisor(owner)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(wake_reader, select.POLLIN)
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


class Supervisor:
    """The task and what is going on in it."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._children = Children()
        self._todo: deque[Callable[[], None]] = deque()
        self._restart_at: float | None = None
        self._stopping = False
        self._task: Assembly | None = None
        self._began = time.monotonic()

    def wait_ms(self) -> int | None:
        """How long the loop may sleep: until the sidecar is due, else for ever."""
        if self._todo:
            return 0
        if self._restart_at is None:
            return None
        return max(0, int((self._restart_at - time.monotonic()) * 1000) + 1)

    def pump(self) -> None:
        """Reap, do what the ends of processes call for, and start the sidecar where it is due."""
        self._children.reap()
        while self._todo:
            self._todo.popleft()()
        if self._restart_at is not None and time.monotonic() >= self._restart_at:
            self._restart_at = None
            self._start_sidecar(again=True)

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
            case Start():
                return self._start(request, fds)
            case Exec():
                return self._exec(request, fds)
            case RunBeside():
                pid = self._children.spawn(request.argv, env={**os.environ, **request.env}, stdio=fds[:3])
                return self._watch(pid, fds)
            case Signal():
                kill(self._pid_of(request.target), signal.Signals(request.number))
            case Control():
                self._control(request)
            case AwaitReady():
                return Answer(yes=self._await(self.task.is_ready, request.timeout_s))
            case Stop():
                self._stop()
        return Answer()

    @property
    def task(self) -> Assembly:
        """Raises ValueError before the task was started."""
        if self._task is None:
            raise ValueError("the task was not started")
        return self._task

    def _start(self, request: Start, fds: list[int]) -> Answer:
        timings: dict[str, float] = {}

        def note(what: str) -> None:
            timings[what] = time.monotonic() - self._began

        self._task = task = assemble(request.settings, self._owner, self._children, note)
        settings = request.settings
        if task.sidecar and not settings.late_sidecar:
            self._start_sidecar()
            note("sidecar program")
            if settings.ready_timeout_s:
                self._await(task.is_ready, settings.ready_timeout_s)
                note("sidecar ready")
        self._start_guarded(tuple(fds[:3]), fds[3])
        note("guarded program")
        task.hurry_collector()
        if task.sidecar and settings.late_sidecar:
            self._start_sidecar()
            note("sidecar program")
        return Answer(facts=task.describe(), timings_s=timings, pid=task.main.pid, yes=task.is_ready())

    def _start_guarded(self, stdio: tuple[int, ...], exit_fd: int) -> None:
        task = self.task
        for other in task.others:
            other.begin(task.log_of(other))
        task.main.begin(stdio)
        for container in (*task.others, task.main):
            self._children.watch(container.finish(), self._when_ended(container, exit_fd))
        task.publish()

    def _when_ended(self, container: Container, exit_fd: int) -> Callable[[int], None]:
        def ended(code: int) -> None:
            self._todo.append(lambda: self._guarded_ended(container, exit_fd, code))

        return ended

    def _guarded_ended(self, container: Container, exit_fd: int, code: int) -> None:
        """A guarded container's first program ended: the runtime ends the rest of the container."""
        container.clear()
        if container is self.task.main:
            _report(exit_fd, code)
            for fd in container.stdio:
                os.close(fd)

    def _start_sidecar(self, *, again: bool = False) -> None:
        task, sidecar = self.task, self.task.sidecar
        if sidecar is None or self._stopping:
            return
        task.ready_file.unlink(missing_ok=True)
        try:
            if again:
                sidecar.clear()
                pid = sidecar.restart()
            else:
                sidecar.begin(task.log_of(sidecar))
                pid = sidecar.finish()
        except StartFailed:
            if not again:
                raise
            self._restart_at = time.monotonic() + task.settings.restart_delay_s
            return
        task.publish()
        self._children.watch(pid, lambda _: self._todo.append(self._sidecar_ended))

    def _sidecar_ended(self) -> None:
        sidecar = self.task.sidecar
        if sidecar is None:
            return
        sidecar.clear()
        if self.task.settings.restart_sidecar and not self._stopping:
            self._restart_at = time.monotonic() + self.task.settings.restart_delay_s

    def _exec(self, request: Exec, fds: list[int]) -> Answer:
        container = self.task.container(request.container)
        described = container.process(
            request.argv,
            env=request.env,
            cwd=request.cwd,
            user=(request.uid, request.gid),
            added=request.added_capabilities,
        )
        return self._watch(self.task.runc.exec(container.id, described, stdio=fds[:3]), fds)

    def _watch(self, pid: int, fds: list[int]) -> Answer:
        """Have the exit code written to the last descriptor; the others are the program's alone from now on."""
        exit_fd = fds[3]
        for fd in fds[:3]:
            os.close(fd)
        self._children.watch(pid, lambda code: _report(exit_fd, code))
        return Answer(pid=pid)

    def _pid_of(self, target: str) -> int:
        pid = self.task.collector_pid if target == "collector" else self.task.container(target).pid
        if not pid:
            raise ValueError(f"{target} does not run")
        return pid

    def _control(self, request: Control) -> None:
        match request.target, request.action:
            case "collector", "start":
                self.task.start_collector()
                self.task.hurry_collector()
            case "collector", "stop":
                self.task.stop_collector()
            case "sidecar", "stop":
                self._stopping = True
                self._end_sidecar(timeout_s=0)
            case "sidecar", "start":
                self._stopping = False
                self._start_sidecar(again=True)
            case "app", "restart":
                self._restart_main()
            case _:
                raise ValueError(f"no such order: {request.action} {request.target}")

    def _restart_main(self) -> None:
        """Kill the main container and start it again on what it wrote, as a restart policy does."""
        main = self.task.main
        ended = self._children.unwatch(main.pid)
        kill(main.pid, signal.SIGKILL)
        main.clear()
        self._children.watch(main.restart(), ended)
        self.task.publish()

    def _stop(self) -> None:
        self._stopping = True
        self._restart_at = None
        for container in (self.task.main, *self.task.others):
            if container.pid:
                kill(container.pid, signal.SIGTERM)
        self._end_sidecar(timeout_s=self.task.settings.stop_timeout_s)

    def _end_sidecar(self, *, timeout_s: float) -> None:
        sidecar = self.task.sidecar
        if sidecar is None or not sidecar.pid:
            return
        if timeout_s:
            kill(sidecar.pid, signal.SIGTERM)
            self._await(lambda: sidecar.pid == 0, timeout_s)
        if sidecar.pid:
            kill(sidecar.pid, signal.SIGKILL)
            self._await(lambda: sidecar.pid == 0, 5.0)

    def _await(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                return False
            self.pump()
            time.sleep(TICK_S)
        return True


def _report(exit_fd: int, code: int) -> None:
    """Write an exit code for whoever waits at the other end of the pipe, and close it."""
    try:
        os.write(exit_fd, str(code).encode())
    except BrokenPipeError:
        pass  # nobody waits any more
    os.close(exit_fd)


