"""Looking at /proc: at start, each few seconds, and after messages were lost.

The first look tells of everybody there is. Later ones look for what no message told of: they go a few processes a
turn, with the connector drained in between, and believe what differs only if it still does after that. Somebody new in
a container who has started no program there is a container runtime at work (runc's init lives there for a moment, or
waits to be started); he is told of if he is there at two looks in turn, or after messages were lost.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.execfacts import FactReader
from outrider_sidecar.linux.procfs import PROC, list_pids, read_stat
from outrider_sidecar.sensors.host.census import Census
from outrider_sidecar.sensors.host.life import Life
from outrider_sidecar.sensors.host.people import Live, People
from outrider_sidecar.sensors.host.tell import Teller
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import Seen

RUNTIME: Final = "runc:["
"""How the name of runc's own process begins, before it becomes the container's."""


class Walk:
    """Looks at every process there is, one a step."""

    def __init__(
        self, people: People, census: Census, life: Life, teller: Teller, reader: FactReader, *, proc: Path = PROC
    ) -> None:
        self._people = people
        self._census = census
        self._life = life
        self._teller = teller
        self._reader = reader
        self._proc = proc
        self._waiting: set[int] = set()

    def first(self, seen: Seen) -> Iterator[bool]:
        """Tell of everybody."""
        for pid in list_pids(proc=self._proc):
            if pid not in self._people.by_pid:
                self._look(pid, seen)
            yield False

    def again(self, *, after_loss: bool) -> Iterator[bool]:
        """Tell of whom and what no message told; after a step that gives True what waits is to be read first."""
        strangers: set[int] = set()
        for pid in list_pids(proc=self._proc):
            live = self._people.by_pid.get(pid)
            if live is not None:
                if not live.ended and self._runs_another(live):
                    before_ns = live.known_ns
                    yield True
                    is_same = live.known_ns == before_ns and self._people.by_pid.get(pid) is live
                    if is_same and not live.ended and self._runs_another(live):
                        self._tell_change(live)
            elif self._is_followed(pid):
                yield True
                if after_loss or pid in self._waiting:
                    self._look(pid, "found")
                else:
                    strangers.add(pid)
            yield False
        self._waiting = strangers
        gone = self._people.by_pid.keys() - set(list_pids(proc=self._proc))
        suspected = [(live, live.known_ns) for pid in gone if (live := self._people.by_pid.get(pid))]
        yield True
        for live, known_ns in suspected:
            if self._people.by_pid.get(live.pid) is live and live.known_ns == known_ns and not live.ended:
                self._life.end(live, time.monotonic_ns())

    def tell_again(self) -> Iterator[bool]:
        """Tell of everybody as found: the engine has started anew and knows none."""
        self._reader.forget_namespaces()
        for live in list(self._people.by_pid.values()):
            if live.told and self._people.by_pid.get(live.pid) is live:
                event = self._reader.read(live.pid, parent=live.parent_process, seen="found")
                if event.process == live.process:
                    self._teller.found(live, event, "found")
            yield False

    def _is_followed(self, pid: int) -> bool:
        return self._life.is_followed(self._census.read_namespace(pid), pid)

    def _look(self, pid: int, seen: Seen) -> None:
        """Tell of a process that is not followed yet, if it is to be."""
        at_ns = time.monotonic_ns()
        mnt_ns = self._census.read_namespace(pid)
        if pid in self._people.by_pid or not self._life.is_followed(mnt_ns, pid):
            return
        try:
            stat = read_stat(pid, proc=self._proc)
        except (ProcessGone, Unavailable, ValueError):
            return
        if stat.comm.startswith(RUNTIME) or stat.state in "ZX":
            return
        parent = self._life.parent_of(pid, mnt_ns)
        event = self._reader.read(pid, parent=parent.process if parent else None, seen=seen)
        if not event.exe.path or event.process != stat.process:
            return  # a kernel thread, or it is ending
        live = Live(pid, at_ns)
        live.process, live.parent_process = event.process, event.parent
        live.exe, live.stdio, live.told = (event.exe.dev, event.exe.ino), event.stdio, True
        if self._people.add(live):
            self._teller.processes_seen += 1
            self._life.place(live, mnt_ns)
            self._teller.found(live, event, seen)

    def _runs_another(self, live: Live) -> bool:
        """Whether a process runs another program than was read of it last, or than was told of its own start."""
        try:
            status = os.stat(f"{self._proc}/{live.pid}/exe")
        except OSError:
            return False
        shown = (status.st_dev, status.st_ino)
        if live.exe != shown:
            return True
        told = live.runs
        if told is None or told.process != live.process or self._life.has_untold(live.pid):
            return False
        return not told.exe.path or (told.exe.dev, told.exe.ino) not in ((0, 0), shown)

    def _tell_change(self, live: Live) -> None:
        """Tell of a program that was started without a message, or of another process under the same pid."""
        at_ns = time.monotonic_ns()
        event = self._reader.read(live.pid, parent=live.parent_process, seen="found")
        if not event.exe.path or "stat" in event.missing:
            return
        if live.process is not None and live.process != event.process:
            self._life.end(live, at_ns)
            self._look(live.pid, "found")
            return
        live.process, live.known_ns = event.process, at_ns
        live.exe, live.stdio = (event.exe.dev, event.exe.ino), event.stdio
        self._teller.found(live, event, "found")
