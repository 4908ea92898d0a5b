"""Run a command under a real supervisor; not a test. `python guarded.py PIDS_FILE EVENTS_FILE COMMAND…`

The engine writes each event's kind to EVENTS_FILE and its beats as it should; the pids of the three processes
are in PIDS_FILE, one line each time one is started: `supervisor`, `tracer` or `engine`, and the pid.
"""

import os
import sys

import msgpack
import msgspec

from outrider_sidecar import supervisor
from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.sensors.attach import TracerOptions, TreeScope
from outrider_wire.events import Event

pids_file, events_file, *command = sys.argv[1:]


def note(name: str, pid: int) -> None:
    with open(pids_file, "a") as file:
        file.write(f"{name} {pid}\n")


def engine(fd: int, heartbeat: Heartbeat) -> int:
    stream = msgpack.Unpacker(max_buffer_size=0)
    os.set_blocking(fd, False)
    with open(events_file, "ab", buffering=0) as file:
        while True:
            heartbeat.beat(Slot.ENGINE_BEAT)
            supervisor.signal.sigtimedwait((), 0.01)
            try:
                data = os.read(fd, 1 << 20)
            except BlockingIOError:
                continue
            if not data:
                return 0
            stream.feed(data)
            for record in stream:
                file.write(msgspec.json.encode(msgspec.msgpack.decode(record, type=Event)) + b"\n")


start = supervisor.Child.start


def start_and_note(child: supervisor.Child, heartbeat: Heartbeat, now_s: float) -> None:
    start(child, heartbeat, now_s)
    note(child.name, child.pid)


supervisor.Child.start = start_and_note  # type: ignore[method-assign]
note("supervisor", os.getpid())
sys.exit(supervisor.supervise(engine, tracer=TracerOptions(scope=TreeScope(0)), command=command))
