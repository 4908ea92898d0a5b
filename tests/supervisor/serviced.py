"""Run a supervisor with children that do as they are told; not a test. `python serviced.py NOTES_FILE`

Its service manager is the one that the environment names. The lookout ends at once while NOTES_FILE.end is there;
each start of it is a line of NOTES_FILE.
"""

import os
import signal
import sys
from pathlib import Path

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux.sd_notify import find_service_manager
from outrider_sidecar.supervisor import supervise

notes = Path(sys.argv[1])


def engine(fd: int, heartbeat: Heartbeat) -> int:
    while True:
        heartbeat.beat(Slot.ENGINE_BEAT)
        signal.sigtimedwait((), 0.01)


def look_out(_fd: int, heartbeat: Heartbeat, _supervisor_pid: int, generation: int) -> int:
    with notes.open("a") as file:
        file.write(f"{generation}\n")
    heartbeat[Slot.GUARDED] = 1
    while not notes.with_name("end").exists():
        heartbeat.beat(Slot.TRACER_BEAT)
        signal.sigtimedwait((), 0.01)
    return 1


manager = find_service_manager(os.environ, pid=os.getpid())
sys.exit(supervise(engine, lookout=look_out, manager=manager, stop_after_s=0, drain_s=1))
