"""What the tracer tells: the events of a process, made at its stops.

A process is told of late (see table.py), but always before anything else about it, and its parent before it.
"""

import time

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux.execfacts import Captured, FactReader
from outrider_sidecar.linux.exitfacts import held_descriptors, mapped_libraries
from outrider_sidecar.linux.procfs import read_stat
from outrider_sidecar.sensors.attach.options import TracerOptions
from outrider_sidecar.sensors.attach.outlet import SENSE, Outlet
from outrider_sidecar.sensors.attach.table import Table, Tracee
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import (
    ProcessExecuted,
    ProcessExited,
    ProcessId,
    ProcessReleased,
    ProcessStarted,
    Seen,
    SightLost,
)


class Teller:
    """Makes events of tracees and puts them into the outlet."""

    def __init__(
        self, options: TracerOptions, outlet: Outlet, heartbeat: Heartbeat, reader: FactReader, table: Table
    ) -> None:
        self._proc = options.proc
        self._gated_pid = options.gated_pid
        self._outlet = outlet
        self._heartbeat = heartbeat
        self._reader = reader
        self._table = table
        self.flush = outlet.flush
        self.processes_seen = 0

    def started(self, tracee: Tracee) -> None:
        """Tell of a process that was forked under us, if that was not done yet."""
        if tracee.announced:
            return
        tracee.announced = True
        self._table.fresh.pop(tracee.pid, None)
        self.processes_seen += 1
        process = self._identify(tracee)
        parent = self._parent(tracee)
        self._outlet.put(ProcessStarted(tracee.forked_at_ns, process, parent, mnt_ns=tracee.mnt_ns))

    def capture(self, tracee: Tracee) -> Captured:
        """Read what a tracee, held at its exec stop, starts."""
        known = tracee.process
        captured = self._reader.capture(
            tracee.pid,
            start_ticks=known.start_ticks if known else 0,
            mnt_ns=(tracee.mnt_ns, tracee.exe_dev),
            stdio=tracee.stdio,
        )
        tracee.mnt_ns = captured.mnt_ns or tracee.mnt_ns
        tracee.exe_dev = captured.exe_status.st_dev if captured.exe_status else 0
        tracee.stdio = captured.stdio
        return captured

    def executed(self, tracee: Tracee, captured: Captured) -> None:
        """Tell of the program that was captured; it goes out before this returns."""
        if tracee.process is None:
            tracee.process = captured.process
        self.started(tracee)
        self._outlet.put(captured.event(self._parent(tracee)))
        self._outlet.flush()

    def found(self, tracee: Tracee, *, parent: ProcessId | None, seen: Seen, untraced: bool = False) -> ProcessExecuted:
        """Tell of a process that was running when it was first seen, and of what it runs."""
        event = self._reader.read(tracee.pid, parent=parent, seen=seen)
        tracee.announced = True
        tracee.process = event.process
        tracee.mnt_ns = event.mnt_ns
        tracee.exe_dev = event.exe.dev
        tracee.stdio = event.stdio
        self.processes_seen += 1
        self._outlet.put(ProcessStarted(event.at_ns, event.process, parent, seen, event.mnt_ns, untraced))
        if tracee.pid != self._gated_pid or seen != "snapshot":
            self._outlet.put(event)
        return event

    def hold_exit_facts(self, tracee: Tracee) -> None:
        """Read what a tracee at its exit stop still has."""
        try:
            here = self._reader.directories.open(tracee.pid)
        except OSError:
            return  # killed since: nothing is left to be read
        tracee.exit_descriptors = held = held_descriptors(here, tracee.stdio)
        sockets = [each.inode for each in held if each.target.startswith("socket:[")]
        if sockets:
            tracee.exit_sockets = self._reader.sockets((tracee.pid,), sockets, [])
        if self._heartbeat[Slot.LIBRARIES_WANTED]:
            tracee.exit_libraries = mapped_libraries(tracee.pid, proc=self._proc)

    def exited(self, tracee: Tracee, status: int | None) -> None:
        """Tell that a process ended, with what `hold_exit_facts` read of it."""
        self.started(tracee)
        self._outlet.put(
            ProcessExited(
                time.time_ns(),
                self._identify(tracee),
                status,
                tracee.exit_descriptors,
                tracee.exit_sockets,
                tracee.exit_libraries,
            )
        )
        if tracee.exit_sockets:
            self._outlet.flush()

    def released(self, tracee: Tracee, reason: str) -> None:
        """Tell that a process is let go to the poll sense."""
        self._outlet.put(ProcessReleased(time.time_ns(), self._identify(tracee), reason))
        self._outlet.flush()

    def lost_sight(self, reason: str) -> None:
        """Tell that something cannot be seen."""
        self._outlet.put(SightLost(time.time_ns(), SENSE, reason))

    def _identify(self, tracee: Tracee) -> ProcessId:
        if tracee.process is None:
            try:
                tracee.process = read_stat(tracee.pid, proc=self._proc).process
            except (ProcessGone, Unavailable, ValueError):
                tracee.process = ProcessId(tracee.pid, 0)
        return tracee.process

    def _parent(self, tracee: Tracee) -> ProcessId | None:
        if tracee.parent is not None:
            self.started(tracee.parent)
            tracee.parent_process = tracee.parent.process
            tracee.parent = None  # one link is enough: a chain of them would keep every ancestor in memory
        return tracee.parent_process
