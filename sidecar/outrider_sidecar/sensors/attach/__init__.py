"""The attach sense: process starts, execs and exits by ptrace(2), in a process of its own.

`run_tracer` is that process's whole life. It builds the parts: `Tracer` handles stops, `Teller` makes events of
them, `Finder` looks for processes nobody forked under us, `Chores` is what happens once a tick, `Outlet` is the
pipe to the engine.
"""

import signal
import time
from collections.abc import Iterator

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux.execfacts import FactReader
from outrider_sidecar.sensors.attach.chores import Chores
from outrider_sidecar.sensors.attach.finder import Finder
from outrider_sidecar.sensors.attach.options import (
    RELEASED_PROGRAMS,
    Scope,
    TaskScope,
    TracerOptions,
    TreeScope,
)
from outrider_sidecar.sensors.attach.outlet import SENSE, Outlet, bin_object, make_event_pipe
from outrider_sidecar.sensors.attach.probe import probe_attach
from outrider_sidecar.sensors.attach.release import ReleaseList
from outrider_sidecar.sensors.attach.table import Table
from outrider_sidecar.sensors.attach.tell import Teller
from outrider_sidecar.sensors.attach.tracer import Tracer
from outrider_wire.events import SightLost

__all__ = [
    "RELEASED_PROGRAMS",
    "Scope",
    "TaskScope",
    "TracerOptions",
    "TreeScope",
    "bin_object",
    "make_event_pipe",
    "probe_attach",
    "run_tracer",
]


def run_tracer(
    options: TracerOptions, pipe_fd: int, heartbeat: Heartbeat, *, supervisor_pid: int = 0, generation: int = 1
) -> int:
    """Trace until told to stop (SIGTERM, or the supervisor's death); 0 when everybody was let go.

    Events go to `pipe_fd`, which must not block. `supervisor_pid` 0 means that nobody is to be watched.
    """
    outlet = Outlet(pipe_fd, record=options.record)
    reader = FactReader(find_sockets=options.open_sockets() if options.open_sockets else None, proc=options.proc)
    table = Table(reader.directories.close)
    releases = ReleaseList(options.released_names, options.released_paths)
    teller = Teller(options, outlet, heartbeat, reader, table)
    finder = Finder(options, table, teller, releases)
    tracer = Tracer(options, table, teller, releases, finder.is_off)
    chores = Chores(options, tracer, table, teller, finder, outlet, heartbeat, supervisor_pid=supervisor_pid)

    def stop(_number: int, _frame: object) -> None:
        tracer.stopping = True

    def first_look() -> Iterator[None]:
        heartbeat.beat(Slot.TRACER_BEAT)
        yield from finder.walk("snapshot" if generation == 1 else "found")
        outlet.flush()
        heartbeat[Slot.TRACER_READY] = generation
        yield

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tracer.run(first_look(), chores)
    tracer.let_go()
    return 0


def sight_was_lost(since_ns: int, reason: str) -> bytes:
    """A SightLost of the process sense, framed for the pipe: what the supervisor says of a tracer that died."""
    from msgspec.msgpack import encode

    return bin_object(encode(SightLost(time.time_ns(), SENSE, reason, since_ns=since_ns)))
