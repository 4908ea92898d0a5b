"""Running programs as descendants of the guarded container's entry point.

The entry point is a plain shell that reads its script from a pipe. Each program's stdin, stdout, stderr and exit
code go through fifos in a volume that the guarded container sees at /lab, and we see through the supervisor's root.
What `runc exec` starts has no parent in the task; what starts here has the container's own ancestry, as attacks have
that come through a flaw of the guarded program.
"""

import errno
import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from outrider_lab.process import LabProcess
from outrider_lab.settings import RESIDENT_DIR

OPEN_TIMEOUT_S: Final = 10.0
STREAMS: Final = ("in", "out", "err", "code")


class Resident:
    """The shell that is the entry point: `script` is the write end of its stdin, `folder` our view of /lab.

    `lab` is a pidfd of the supervisor.
    """

    def __init__(self, script: int, folder: Path, *, lab: int) -> None:
        self._lab = lab
        self._script = script
        self._folder = folder
        self._serial = 0

    def start(self, command: str | Sequence[str], *, cwd: str = "") -> LabProcess:
        """Have the shell run a command line (a str) or an argv in the background."""
        line = command if isinstance(command, str) else shlex.join(command)
        self._serial += 1
        for stream in STREAMS:
            os.mkfifo(self._folder / f"{self._serial}.{stream}", 0o600)
        ours = [self._open_reader(stream) for stream in STREAMS[1:]]
        os.write(self._script, self._script_for(line, cwd).encode())
        return LabProcess([line], 0, (self._open_writer(), ours[0], ours[1], ours[2]), lab=self._lab)

    def run(
        self, command: str | Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cwd: str = ""
    ) -> subprocess.CompletedProcess[bytes]:
        """The same, to its end. Raises TimeoutError."""
        return self.start(command, cwd=cwd).communicate(stdin, timeout_s=timeout_s)

    def _script_for(self, line: str, cwd: str) -> str:
        base = f"{RESIDENT_DIR}/{self._serial}"
        move = f"cd {shlex.quote(cwd)}; " if cwd else ""
        body = f"{move}{line}\n"
        return f"{{ ( {body}) <{base}.in >{base}.out 2>{base}.err; echo $? >{base}.code; }} &\n"

    def _open_reader(self, stream: str) -> int:
        """Our end of a fifo that the shell will write to."""
        fd = os.open(self._folder / f"{self._serial}.{stream}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(fd, True)
        return fd

    def _open_writer(self) -> int:
        """Our end of the program's stdin, once the shell waits at the other: closing it sooner would be lost on it."""
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        while True:
            try:
                fd = os.open(self._folder / f"{self._serial}.in", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                if error.errno != errno.ENXIO or time.monotonic() > deadline:
                    raise
                time.sleep(0.001)
                continue
            os.set_blocking(fd, True)
            return fd
