"""The programs that the supervisor runs, and what it does when they end. Everything in one thread.

What the end of a child calls for may take a while (runc deletes a container), so it is done after the reaping, in
order, and never within another thing.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from outrider_lab.children import Children
from outrider_lab.container import Container
from outrider_lab.protocol import Answer
from outrider_lab.runc import kill

TICK_S: Final = 0.002
"""How often a condition is looked at while waiting for it."""


class Guarded(Protocol):
    """A task as its programs are started and found: one container whose end is told, and others."""

    @property
    def main(self) -> Container: ...
    @property
    def others(self) -> tuple[Container, ...]: ...

    def container(self, name: str) -> Container:
        """Raises ValueError for a name that no container has."""

    def log_of(self, container: Container) -> tuple[int, int, int]:
        """Descriptors for a container that has no one to talk to."""

    def publish(self) -> None:
        """Tell the services of the containers as they are now."""


class Crew:
    """The children, and what is to be done next. `chores` are called in each turn."""

    def __init__(self) -> None:
        self.children = Children()
        self.chores: list[Callable[[], None]] = []
        self._todo: deque[Callable[[], None]] = deque()

    @property
    def busy(self) -> bool:
        """Whether something is to be done at once."""
        return bool(self._todo)

    def later(self, job: Callable[[], None]) -> None:
        """Do it in the next turn."""
        self._todo.append(job)

    def pump(self) -> None:
        """One turn: reap, do what the ends of processes call for, and the chores."""
        self.children.reap()
        while self._todo:
            self._todo.popleft()()
        for chore in self.chores:
            chore()

    def wait(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Turn until a condition holds or the time is up; whether it holds."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                return False
            self.pump()
            time.sleep(TICK_S)
        return True

    def watch(self, pid: int, fds: Sequence[int]) -> Answer:
        """Have the exit code written to the last descriptor; the others are the program's alone from now on."""
        exit_fd = fds[3]
        for fd in fds[:3]:
            os.close(fd)
        self.children.watch(pid, lambda code: report(exit_fd, code))
        return Answer(pid=pid)

    def start_task(self, task: Guarded, fds: Sequence[int]) -> None:
        """Start every guarded container of a task; the main one has the first three descriptors."""
        for other in task.others:
            other.begin(task.log_of(other))
        task.main.begin(tuple(fds[:3]))
        for container in (*task.others, task.main):
            self.children.watch(container.finish(), self._when_ended(task, container, fds[3]))
        task.publish()

    def restart_main(self, task: Guarded) -> None:
        """Kill the main container and start it again on what it wrote, as a restart policy does."""
        main = task.main
        ended = self.children.unwatch(main.pid)
        kill(main.pid, signal.SIGKILL)
        main.clear()
        self.children.watch(main.restart(), ended)
        task.publish()

    def _when_ended(self, task: Guarded, container: Container, exit_fd: int) -> Callable[[int], None]:
        def ended(code: int) -> None:
            self.later(lambda: self._guarded_ended(task, container, exit_fd, code))

        return ended

    def _guarded_ended(self, task: Guarded, container: Container, exit_fd: int, code: int) -> None:
        """A guarded container's first program ended: the runtime ends the rest of the container."""
        container.clear()
        if container is task.main:
            report(exit_fd, code)
            for fd in container.stdio:
                os.close(fd)


def report(exit_fd: int, code: int) -> None:
    """Write an exit code for whoever waits at the other end of the pipe, and close it."""
    try:
        os.write(exit_fd, str(code).encode())
    except BrokenPipeError:
        pass  # nobody waits any more
    os.close(exit_fd)
