"""The poll sense: processes seen by looking, where tracing is not to be had.

Each period the newest pid is read from proc_loadavg(5); what is new is looked at once. Every sweep the whole of
/proc is: who is gone, who runs another program now. At 2 ms this costs about 2.5 % of a core and sees what lives
longer than that; of programs that live 0.65 ms it sees a fifth. An exec by a process that lives on is seen at the
next sweep, exit statuses never.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.execfacts import FactReader, FindSockets
from outrider_sidecar.linux.procfs import PROC, list_pids, read_stat
from outrider_sidecar.sensors import Capability, Emit
from outrider_sidecar.sensors.attach.seize import read_standing
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import ProcessExecuted, ProcessExited, ProcessId, ProcessStarted, Seen, SightLost

PERIOD_S: Final = 0.002
SWEEP_S: Final = 0.5
MAX_NEW: Final = 4096
"""More new pids than this in one period are left to a sweep."""
MAX_PROCESSES: Final = 65_536
SENSE: Final = "process"

Covers = Callable[[int, int], bool]
"""Whether a process, given with its mount namespace, is to be told of."""


def probe_poll(*, proc: Path = PROC) -> Capability:
    """Read the watermark once."""
    try:
        with open(f"{proc}/loadavg", "rb") as file:
            int(file.read().split()[4])
    except (OSError, ValueError, IndexError) as error:
        return Capability(SENSE, "poll", False, f"{proc}/loadavg does not tell the newest pid: {error}")
    return Capability(SENSE, "poll", True, "the newest pid was read; what lives under 2 ms is mostly missed")


class PollSensor:
    """Tells of processes by looking at /proc; for a thread of its own."""

    name = "poll"

    def __init__(
        self,
        covers: Covers,
        *,
        period_s: float = PERIOD_S,
        sweep_s: float = SWEEP_S,
        find_sockets: FindSockets | None = None,
        proc: Path = PROC,
    ) -> None:
        self._covers = covers
        self._period_s = period_s
        self._sweep_s = sweep_s
        self._proc = proc
        self._reader = FactReader(find_sockets=find_sockets, proc=proc, sensor=self.name)
        self._known: dict[int, tuple[ProcessId, int]] = {}

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Look until `stop`."""
        loadavg = os.open(f"{self._proc}/loadavg", os.O_RDONLY | os.O_CLOEXEC)
        try:
            newest = _newest(loadavg)
            self._sweep(emit, "snapshot")
            sweep_at_s = time.monotonic() + self._sweep_s
            while not stop.wait(self._period_s):
                before, newest = newest, _newest(loadavg)
                wrapped = newest < before or newest - before > MAX_NEW
                if wrapped or time.monotonic() >= sweep_at_s:
                    self._sweep(emit, "found")
                    sweep_at_s = time.monotonic() + self._sweep_s
                else:
                    for pid in range(before + 1, newest + 1):
                        self._look(pid, "found", emit)
        finally:
            os.close(loadavg)

    def _sweep(self, emit: Emit, seen: Seen) -> None:
        alive = list_pids(proc=self._proc)
        for pid in self._known.keys() - set(alive):
            emit(ProcessExited(time.time_ns(), self._known.pop(pid)[0]))
        for pid in alive:
            self._look(pid, seen, emit)
        if len(self._known) >= MAX_PROCESSES:
            emit(SightLost(time.time_ns(), SENSE, f"more than {MAX_PROCESSES} processes: the rest is not followed"))

    def _look(self, pid: int, seen: Seen, emit: Emit) -> None:
        try:
            stat = read_stat(pid, proc=self._proc)
            inode = os.stat(f"{self._proc}/{pid}/exe").st_ino
            mnt_ns = os.stat(f"{self._proc}/{pid}/ns/mnt").st_ino
        except (ProcessGone, Unavailable, OSError, ValueError):
            return  # gone, a kernel thread, or not ours to read
        known = self._known.get(pid)
        if known is not None and known[0] == stat.process:
            if known[1] != inode:
                self._tell_program(stat.process, stat.ppid, inode, seen, emit)
            return
        if known is not None:
            emit(ProcessExited(time.time_ns(), known[0]))
            del self._known[pid]
        if self._is_process(pid) and self._covers(pid, mnt_ns) and len(self._known) < MAX_PROCESSES:
            parent = self._identify(stat.ppid)
            emit(ProcessStarted(time.time_ns(), stat.process, parent, seen, mnt_ns))
            self._tell_program(stat.process, stat.ppid, inode, seen, emit)

    def _tell_program(self, process: ProcessId, ppid: int, inode: int, seen: Seen, emit: Emit) -> None:
        self._known[process.pid] = (process, inode)
        event: ProcessExecuted = self._reader.read(process.pid, parent=self._identify(ppid), seen=seen)
        if event.process == process:
            emit(event)

    def _is_process(self, pid: int) -> bool:
        """Threads have numbers and directories in /proc, too."""
        try:
            return read_standing(pid, proc=self._proc).tgid == pid
        except ProcessGone:
            return False

    def _identify(self, pid: int) -> ProcessId | None:
        try:
            return read_stat(pid, proc=self._proc).process if pid else None
        except (ProcessGone, Unavailable, ValueError):
            return None


def _newest(loadavg: int) -> int:
    return int(os.pread(loadavg, 128, 0).rsplit(None, 1)[1])
