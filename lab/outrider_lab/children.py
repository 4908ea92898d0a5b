"""Starting and reaping: the supervisor is the first process of its PID namespace, so every orphan is its child.

One place calls waitpid(-1): a library that waited for a pid of its own would race with it. A status of a process
that nobody asked about yet (a container's first process ends before its pid was read) is kept for a while.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

MAX_UNCLAIMED: Final = 4096
"""Statuses kept for pids nobody asked about; the oldest goes first. They are orphans' statuses, of no interest."""

Ended = Callable[[int], None]
"""Called with the exit code (128 + signal for a process that a signal ended)."""


class Children:
    """The processes the supervisor started or inherited. Single-threaded."""

    def __init__(self) -> None:
        self._watched: dict[int, Ended] = {}
        self._unclaimed: OrderedDict[int, int] = OrderedDict()

    def spawn(self, argv: Sequence[str], *, env: dict[str, str], stdio: Sequence[int] = ()) -> int:
        """Start a program from PATH with these descriptors as 0, 1, 2 (ours where none are given)."""
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(stdio)]
        return os.posix_spawnp(argv[0], list(argv), env, file_actions=actions, setsigdef=range(1, 32))

    def watch(self, pid: int, ended: Ended) -> None:
        """Have `ended` called, from `reap`, when that child is gone; at once where it already is."""
        if pid in self._unclaimed:
            ended(self._unclaimed.pop(pid))
        else:
            self._watched[pid] = ended

    def unwatch(self, pid: int) -> Ended:
        """Forget who watches a child; the answer is what would have been called."""
        return self._watched.pop(pid, lambda _: None)

    def reap(self) -> None:
        """Collect every child that ended, and tell those who watch."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._tell(pid, exit_code(status))

    def wait(self, pid: int, *, timeout_s: float) -> int:
        """Wait for one child, reaping the others meanwhile. Raises TimeoutError."""
        done: list[int] = []
        self.watch(pid, done.append)
        deadline = time.monotonic() + timeout_s
        while not done:
            self.reap()
            if not done:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"process {pid} did not end within {timeout_s} s")
                time.sleep(0.001)
        return done[0]

    def _tell(self, pid: int, code: int) -> None:
        ended = self._watched.pop(pid, None)
        if ended is not None:
            ended(code)
            return
        self._unclaimed[pid] = code
        if len(self._unclaimed) > MAX_UNCLAIMED:
            self._unclaimed.popitem(last=False)


def exit_code(status: int) -> int:
    """A wait(2) status as shells give it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
