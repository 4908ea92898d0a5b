"""The collector of a lab: a process beside the tasks, started, stopped, and started again on the data it had."""

import os
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from outrider_lab.children import Children
from outrider_lab.ground import Ground
from outrider_lab.namespaces import CLONE_NEWNET, entered
from outrider_lab.runc import kill

START_NICENESS: Final = 10
"""The collector steps back while the lab starts: nobody waits for it then."""


class Collector:
    """`command` with `env` over the supervisor's own, in the network namespace at `network` (None: the lab's own)."""

    def __init__(
        self, ground: Ground, command: tuple[str, ...], env: dict[str, str], *, network: Path | None = None
    ) -> None:
        self.pid = 0
        self.data = ground.base / "collector"
        self._ground = ground
        self._children: Children = ground.children
        self._command = command
        self._env = env
        self._network = network

    def start(self) -> None:
        """Start it, unless it runs or there is to be none."""
        if not self._command or self.pid:
            return
        self.data.mkdir(exist_ok=True, mode=0o700)
        stdio = self._ground.log("collector")
        env = {**os.environ, "OUTRIDER_COLLECTOR_DATA": str(self.data), **self._env}
        with entered(str(self._network), CLONE_NEWNET) if self._network else nullcontext():
            pid = self._children.spawn(self._command, env=env, stdio=stdio)
        for fd in set(stdio):
            os.close(fd)
        self.pid = pid
        os.setpriority(os.PRIO_PROCESS, pid, START_NICENESS)
        self._children.watch(pid, lambda _: self._ended(pid))

    def control(self, target: str, action: str) -> None:
        """Raises ValueError for an order that makes no sense."""
        match target, action:
            case "collector", "start":
                self.start()
                self.hurry()
            case "collector", "stop":
                self.stop()
            case _:
                raise ValueError(f"no such order: {action} {target}")

    def hurry(self) -> None:
        """Give the collector its full share again, once the lab has started."""
        if self.pid:
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                os.setpriority(os.PRIO_PROCESS, int(thread), 0)

    def stop(self) -> None:
        """Kill it; its data stay."""
        if self.pid:
            pid, self.pid = self.pid, 0
            self._children.unwatch(pid)
            kill(pid, signal.SIGKILL)
            self._children.wait(pid, timeout_s=5.0)

    def _ended(self, pid: int) -> None:
        if self.pid == pid:
            self.pid = 0
