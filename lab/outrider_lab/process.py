"""A program in the lab as the asking program holds it: pipes to it, and the pipe its exit code comes by."""

import os
import select
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

CHUNK_BYTES: Final = 1 << 16


class LabGone(Exception):
    """The lab ended while something in it was waited for."""


class Pipes:
    """Four pipes for a program: the lab's ends of stdin, stdout, stderr and exit code, and ours."""

    def __init__(self) -> None:
        stdin, stdout, stderr, ended = (os.pipe2(os.O_CLOEXEC) for _ in range(4))
        self.theirs = (stdin[0], stdout[1], stderr[1], ended[1])
        self.ours = (stdin[1], stdout[0], stderr[0], ended[0])

    def close_theirs(self) -> None:
        """Leave the lab's ends to the lab alone, so that end-of-file can be seen."""
        for fd in self.theirs:
            os.close(fd)

    def close_ours(self) -> None:
        """Give up: the program was not started."""
        for fd in self.ours:
            os.close(fd)


class LabProcess:
    """A running program of the lab. `pid` is of the supervisor's PID namespace; see `Task.processes` for others.

    `lab` is a pidfd of the supervisor: readable when the lab is gone.
    """

    def __init__(self, argv: Sequence[str], pid: int, ends: tuple[int, int, int, int], *, lab: int) -> None:
        self._lab = lab
        self.argv = list(argv)
        self.pid = pid
        self._stdin, self._stdout, self._stderr, self._ended = ends
        self._code: int | None = None
        self.output = b""
        self.errors = b""

    def write(self, data: bytes) -> None:
        """Send bytes to the program's standard input."""
        os.write(self._stdin, data)

    def close_stdin(self) -> None:
        """Let the program see the end of its input."""
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def has_ended(self) -> bool:
        """Whether its exit code is there."""
        return self._code is not None or bool(select.select([self._ended], [], [], 0)[0])

    def wait(self, *, timeout_s: float = 30.0) -> int:
        """The exit code (128 + signal for a signal), collecting output meanwhile. Raises TimeoutError, LabGone."""
        deadline = time.monotonic() + timeout_s
        while self._code is None:
            self._collect(deadline, until=(self._ended,))
        self.drain()
        return self._code

    def read_until(self, marker: bytes, *, timeout_s: float = 10.0) -> bytes:
        """Everything the program wrote, once `marker` is in it. Raises TimeoutError, LabGone."""
        deadline = time.monotonic() + timeout_s
        while marker not in self.output:
            if self._code is not None:
                self.drain()
                if marker not in self.output:
                    raise LabGone(f"{self.argv[0]} ended with {self._code} before it wrote {marker!r}: {self.errors!r}")
                break
            self._collect(deadline, until=(self._ended,))
        return self.output

    def read_line(self, marker: bytes, *, timeout_s: float = 10.0) -> bytes:
        """The rest of the line after `marker`; empty where the program ended without one. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self.output.partition(marker)[2] and self._code is None:
            self._collect(deadline, until=(self._ended,))
        self.drain()
        return self.output.partition(marker)[2].partition(b"\n")[0]

    def communicate(self, stdin: bytes = b"", *, timeout_s: float = 30.0) -> subprocess.CompletedProcess[bytes]:
        """Send input, wait for the end, and close. Raises TimeoutError, LabGone."""
        try:
            if stdin:
                self.write(stdin)
            self.close_stdin()
            code = self.wait(timeout_s=timeout_s)
            return subprocess.CompletedProcess(self.argv, code, self.output, self.errors)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the pipes; the program goes on."""
        self.close_stdin()
        for fd in (self._stdout, self._stderr, self._ended):
            if fd >= 0:
                os.close(fd)
        self._stdout = self._stderr = self._ended = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _collect(self, deadline: float, *, until: tuple[int, ...]) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{self.argv[0]} did not end in time; it wrote {self.output!r} {self.errors!r}")
        ready, _, _ = select.select([*until, self._lab, *self._open()], [], [], left)
        self._read(ready)
        if self._ended in ready and self._code is None:
            said = os.read(self._ended, 16)
            if not said:
                raise LabGone(f"the lab ended while {self.argv[0]} ran")
            self._code = int(said)
        elif self._lab in ready:
            raise LabGone(f"the lab ended while {self.argv[0]} ran")

    def drain(self) -> None:
        """Read what is there now; a child in the background may hold the pipes for longer."""
        while ready := select.select(self._open(), [], [], 0)[0]:
            self._read(ready)

    def _open(self) -> list[int]:
        return [fd for fd in (self._stdout, self._stderr) if fd >= 0]

    def _read(self, ready: list[int]) -> None:
        if self._stdout in ready:
            if data := os.read(self._stdout, CHUNK_BYTES):
                self.output += data
            else:
                os.close(self._stdout)
                self._stdout = -1
        if self._stderr in ready:
            if data := os.read(self._stderr, CHUNK_BYTES):
                self.errors += data
            else:
                os.close(self._stderr)
                self._stderr = -1
