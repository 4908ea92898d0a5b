"""`outrider watch`: the same engine on one command and its descendants, on any Linux, without root."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from outrider_rules import RuleSet
from outrider_sidecar.guard import Guard, Plan
from outrider_sidecar.heartbeat import Heartbeat
from outrider_sidecar.intel import Intel
from outrider_sidecar.linux import procfs
from outrider_sidecar.linux.sock_diag import SocketTable
from outrider_sidecar.outlets import Sinks
from outrider_sidecar.sensors import Capability, Sensor
from outrider_sidecar.sensors.attach import TracerOptions, TreeScope, probe_attach
from outrider_sidecar.sensors.files import probe_inotify
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_sidecar.sensors.packets import PacketSensor, probe_packet
from outrider_sidecar.supervisor import supervise
from outrider_sidecar.world.kinds import EVENT_TYPES
from outrider_wire.events import Event
from outrider_wire.findings import Finding

AGENT: Final = "watch"


def probe_watch() -> tuple[Capability, ...]:
    """What can be seen of a command here."""
    return (probe_attach(), probe_inotify(), probe_packet())


def watch_command(
    command: Sequence[str],
    *,
    rules: RuleSet,
    intel: Intel,
    sinks: Sinks,
    capabilities: Sequence[Capability],
    on_end: Callable[[], None] = lambda: None,
) -> int:
    """Run a command under watch; its exit code. `on_end` is called in the engine's process when all is judged.

    Findings that a sink could not take are told of on standard error before that.
    """
    rules.prepare(EVENT_TYPES)
    baseline_ns = time.time_ns()
    attach = any(c.sensor == "attach" and c.available for c in capabilities)
    packets = any(c.sensor == "packet" and c.available for c in capabilities)

    def engine_main(pipe_fd: int, heartbeat: Heartbeat) -> int:
        sensors: tuple[Sensor, ...] = (PacketSensor(OwnerFinder()),) if packets else ()
        only_ours = OnlyOurs(sinks)
        plan = Plan(agent=AGENT, rules=rules, intel=intel, baseline_ns=baseline_ns, sensors=sensors)
        guard = Guard(plan, only_ours, heartbeat)
        own = guard.containers.see(procfs.namespace(os.getpid(), "mnt"), "", baseline_ns, baseline_ns)
        if own is not None:
            own.id = "host"
        guard.run(pipe_fd)
        for loss in sinks.losses():
            print(f"outrider: {loss}", file=sys.stderr, flush=True)
        on_end()
        return 0

    options = TracerOptions(scope=TreeScope(0), open_sockets=lambda: SocketTable().find)
    return supervise(engine_main, tracer=options if attach else None, command=command)


class OnlyOurs:
    """Leaves out what other programs of the machine did: a tap and a file watch see them all."""

    def __init__(self, sinks: Sinks) -> None:
        self._sinks = sinks

    def event(self, event: Event) -> None:
        self._sinks.event(event)

    def finding(self, finding: Finding) -> None:
        if finding.process is not None or finding.type.startswith("Outrider:Integrity/"):
            self._sinks.finding(finding)
