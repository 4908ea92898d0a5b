"""Running containers with runc: start, exec, delete. Each container's first process becomes our child.

`--detach` makes runc end once the program runs; the program is then an orphan, and the supervisor, first process of
its PID namespace, inherits it together with its exact exit status.
"""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from outrider_lab.children import Children

START_TIMEOUT_S: Final = 30.0
ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class StartFailed(Exception):
    """runc could not start a program; the text is what it said."""


class Runc:
    """runc with its state in a folder of the lab."""

    def __init__(self, children: Children, folder: Path) -> None:
        self._children = children
        self._folder = folder
        self._serial = 0
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, container_id: str, bundle: Path, *, stdio: Sequence[int], pid_file: Path) -> int:
        """Start runc itself, which starts the container's program; `finish` waits for that."""
        pid_file.unlink(missing_ok=True)
        command = ["run", "--detach", "--no-new-keyring", "--bundle", str(bundle), "--pid-file", str(pid_file)]
        return self._spawn([*command, container_id], stdio, log=bundle / "runc.log")

    def finish(self, runc_pid: int, *, pid_file: Path, log: Path) -> int:
        """The pid of the program, once runc has started it. Raises StartFailed."""
        code = self._children.wait(runc_pid, timeout_s=START_TIMEOUT_S)
        if code:
            raise StartFailed(_last_message(log) or f"runc ended with {code}")
        return int(pid_file.read_text())

    def exec(self, container_id: str, process: dict[str, Any], *, stdio: Sequence[int]) -> int:
        """Start one more program in a container, as ECS Exec does; the answer is its pid. Raises StartFailed.

        `process` is the `process` part of the OCI specification.
        """
        self._serial += 1
        base = self._folder / f"exec-{self._serial}"
        description, pid_file, log = (base.with_suffix(f".{kind}") for kind in ("json", "pid", "log"))
        description.write_text(json.dumps(process))
        command = ["exec", "--detach", "--process", str(description), "--pid-file", str(pid_file), container_id]
        try:
            return self.finish(self._spawn(command, stdio, log=log), pid_file=pid_file, log=log)
        finally:
            for made in (description, pid_file, log):
                made.unlink(missing_ok=True)

    def delete(self, container_id: str) -> None:
        """Kill what is left in a container, and forget it."""
        null = os.open(os.devnull, os.O_RDWR)
        try:
            pid = self._spawn(["delete", "--force", container_id], (null, null, null), log=self._folder / "delete.log")
        finally:
            os.close(null)
        self._children.wait(pid, timeout_s=START_TIMEOUT_S)

    def _spawn(self, command: Sequence[str], stdio: Sequence[int], *, log: Path) -> int:
        top = ["runc", "--root", str(self._folder), "--log", str(log), "--log-format", "json"]
        return self._children.spawn([*top, *command], env=ENVIRONMENT, stdio=stdio)


def kill(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself


def _last_message(log: Path) -> str:
    try:
        lines = log.read_text().splitlines()
    except FileNotFoundError:
        return ""
    return str(json.loads(lines[-1]).get("msg", "")) if lines else ""
