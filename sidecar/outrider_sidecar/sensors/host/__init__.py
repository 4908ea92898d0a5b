"""The lookout: processes and files of a whole machine, told of by the kernel without stopping anybody.

`run_lookout` is its process's whole life, in the tracer's place: the same pipe, the same words of the shared page. It
builds the parts: `Life` makes sense of the proc connector's messages, `Teller` makes events, `Walk` looks at /proc for
what no message told, `Marks` is the file watch, `Lookout` the loop.
"""

import gc
import signal

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux.execfacts import FactReader
from outrider_sidecar.sensors.attach.outlet import Outlet
from outrider_sidecar.sensors.host.census import Census
from outrider_sidecar.sensors.host.clock import Clock
from outrider_sidecar.sensors.host.connecting import open_connector
from outrider_sidecar.sensors.host.life import SENSOR, Life
from outrider_sidecar.sensors.host.lookout import Lookout
from outrider_sidecar.sensors.host.options import Identify, LookoutOptions, Marks, NoMarks
from outrider_sidecar.sensors.host.people import People
from outrider_sidecar.sensors.host.probe import probe_connector
from outrider_sidecar.sensors.host.tell import Teller
from outrider_sidecar.sensors.host.walk import Walk
from outrider_wire.errors import Unavailable

__all__ = ["Identify", "LookoutOptions", "Marks", "NoMarks", "probe_connector", "run_lookout"]


def run_lookout(
    options: LookoutOptions, pipe_fd: int, heartbeat: Heartbeat, *, supervisor_pid: int = 0, generation: int = 1
) -> int:
    """Look out until told to stop (SIGTERM, or the supervisor's end); 0 then.

    Events go to `pipe_fd`, which must not block. `supervisor_pid` 0 means that nobody is to be watched. Raises OSError
    where the proc connector is refused.
    """
    connector = open_connector(buffer_bytes=options.buffer_bytes, proc=options.proc)
    outlet = Outlet(pipe_fd, record=options.record)
    find_sockets = options.open_sockets() if options.open_sockets else None
    reader = FactReader(find_sockets=find_sockets, proc=options.proc, sensor=SENSOR)
    marks: Marks = options.marks() if options.marks else NoMarks()
    people, clock = People(), Clock()
    census = Census(options.container_of, proc=options.proc)
    teller = Teller(outlet, reader, people, census, marks, clock, proc=options.proc)
    life = Life(options, reader, people, census, marks, clock, teller, supervisor_pid=supervisor_pid)
    walk = Walk(people, census, life, teller, reader, proc=options.proc)
    try:
        marks.open(life.identify)
    except Unavailable as error:
        teller.lost_sight(error.reason, sense="file")
    lookout = Lookout(
        options,
        *(connector, marks, life, walk, people, teller, clock, outlet, heartbeat),
        supervisor_pid=supervisor_pid,
    )

    def stop(_number: int, _frame: object) -> None:
        lookout.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    heartbeat.beat(Slot.TRACER_BEAT)
    for _ in walk.first("snapshot" if generation == 1 else "found"):
        heartbeat.beat(Slot.TRACER_BEAT)
        outlet.flush()
    lookout.take()
    lookout.tell(everything=True)
    heartbeat[Slot.TRACER_READY] = generation
    gc.freeze()
    gc.disable()  # a collection takes milliseconds, in which programs end unseen; the sweep runs it
    try:
        lookout.run()
    finally:
        connector.close()
    return 0
