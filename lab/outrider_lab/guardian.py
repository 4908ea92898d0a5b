"""Keeping what guards running: a sidecar container of a task, or a process of the host."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from outrider_lab.container import Container
from outrider_lab.ground import Ground
from outrider_lab.runc import StartFailed, kill

Await = Callable[[Callable[[], bool], float], bool]
"""Go on with everything else until a condition holds or so many seconds are up; whether it holds."""


class Body(Protocol):
    """What guards, as a thing that can be started, again and again."""

    @property
    def runs(self) -> bool: ...

    def start(self, ended: Callable[[], None]) -> None:
        """Start it, and have `ended` called once when it is over. Raises StartFailed."""

    def clear(self) -> None:
        """Take away what the ended one left."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""


class Guardian:
    """A body that is started again `delay_s` after its end, until it is stopped on purpose."""

    def __init__(self, body: Body, ready_file: Path, *, restart: bool, delay_s: float) -> None:
        self.due_at: float | None = None
        self._body = body
        self._ready_file = ready_file
        self._restart = restart
        self._delay_s = delay_s
        self._stopping = False
        self._started = False

    def is_ready(self) -> bool:
        """Whether it said that it sees."""
        return self._ready_file.exists()

    def start(self) -> None:
        """Start it, also after it was stopped. Raises StartFailed the first time; later it is tried again."""
        self._stopping = False
        self._begin()

    def begin_if_due(self) -> None:
        """Start it again where its time has come."""
        if self.due_at is not None and time.monotonic() >= self.due_at:
            self.due_at = None
            self._begin()

    def stop(self, wait: Await, *, timeout_s: float) -> None:
        """End it for good: SIGTERM, up to `timeout_s`, SIGKILL (at once where that is 0)."""
        self._stopping = True
        self.due_at = None
        if timeout_s and self._body.runs:
            self._body.send(signal.SIGTERM)
            wait(lambda: not self._body.runs, timeout_s)
        if self._body.runs:
            self._body.send(signal.SIGKILL)
            wait(lambda: not self._body.runs, 5.0)

    def _begin(self) -> None:
        if self._stopping or self._body.runs:
            return
        self._ready_file.unlink(missing_ok=True)
        again, self._started = self._started, True
        try:
            self._body.start(self._ended)
        except StartFailed:
            if not again:
                raise
            self._wait_for_next()

    def _ended(self) -> None:
        self._body.clear()
        if self._restart and not self._stopping:
            self._wait_for_next()

    def _wait_for_next(self) -> None:
        self.due_at = time.monotonic() + self._delay_s


class Sidecar:
    """A container of the task that guards. `later` calls what it is given when nothing else is being done."""

    def __init__(
        self,
        container: Container,
        ground: Ground,
        publish: Callable[[], None],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self._container = container
        self._ground = ground
        self._publish = publish
        self._later = later

    @property
    def runs(self) -> bool:
        return bool(self._container.pid)

    def start(self, ended: Callable[[], None]) -> None:
        if self._container.created_at_ns:
            self._container.clear()
            pid = self._container.restart()
        else:
            self._container.begin(self._ground.log(self._container.settings.name))
            pid = self._container.finish()
        self._publish()
        self._ground.children.watch(pid, lambda _: self._later(ended))

    def clear(self) -> None:
        self._container.clear()

    def send(self, number: signal.Signals) -> None:
        kill(self._container.pid, number)
