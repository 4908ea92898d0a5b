"""The parts of a task's sidecar: it shares the PID and network namespaces of what it guards."""

from collections.abc import Callable
from typing import Final

from outrider_sidecar.guard import Guard
from outrider_sidecar.heartbeat import Slot
from outrider_sidecar.linux import procfs
from outrider_sidecar.linux.sock_diag import SocketTable, probe_sock_diag
from outrider_sidecar.modes import Ground, Parts, Within, is_available, make_selecting
from outrider_sidecar.naming import Naming
from outrider_sidecar.selection import Selection
from outrider_sidecar.sensors import Capability, Sensor
from outrider_sidecar.sensors.attach import TaskScope, TracerOptions, probe_attach
from outrider_sidecar.sensors.attach.options import nothing_is_off
from outrider_sidecar.sensors.files import probe_inotify
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_sidecar.sensors.packets import PacketSensor, probe_packet
from outrider_sidecar.sensors.poll import PollSensor, probe_poll
from outrider_sidecar.sensors.reads import ReadSensor
from outrider_sidecar.sensors.sockets import SocketSensor
from outrider_sidecar.settings import Settings
from outrider_sidecar.untraced import UntracedContainers
from outrider_sidecar.wanted import wants_readings, wants_sockets
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.text import clean_text

SPARED_S: Final = 5.0
"""Guarding ends so long before the container's stopTimeout runs out."""


def probe_task(*, in_task: bool = True) -> tuple[Capability, ...]:
    """What can be seen here of a task, each found out by doing it."""
    return (probe_attach(in_task=in_task), probe_poll(), probe_inotify(), probe_packet(), probe_sock_diag())


def traces(settings: Settings, capabilities: tuple[Capability, ...]) -> bool:
    """Whether processes are traced here."""
    return settings.attach and is_available(capabilities, "attach")


def task_parts(ground: Ground, capabilities: tuple[Capability, ...]) -> Parts:
    """What guards a task with these capabilities. Raises ConfigError for a selector that makes no sense."""
    settings = ground.settings
    untraced = UntracedContainers(settings.tracing_off, settings.metadata_uri) if settings.tracing_off else None
    selection = Selection(include=settings.include, exclude=settings.exclude)
    tracer = _tracer(ground, untraced) if traces(settings, capabilities) else None

    def enter() -> Within:
        selecting = make_selecting(selection)
        counting = (Counting().chore,) if tracer is None else ()
        return Within(
            guest_ns=ground.own_mnt_ns,
            sensors=_sensors(ground, capabilities, untraced, traced=tracer is not None),
            chores=(Naming(settings.metadata_uri).chore, selecting.chore, *counting),
            begin=selecting.begin,
            status=lambda guard: selecting.status() | {"excluded": [c.label for c in guard.containers.excluded()]},
        )

    return Parts(tracer=tracer, enter=enter, stop_after_s=max(settings.stop_timeout_s - SPARED_S, 0.0))


class Counting:
    """Says how many processes are guarded where no tracer counts them: a stopping task is guarded while there is one.

    ECS's pause process outlives everybody and does not count; where process 1 is the application itself it does.
    """

    def __init__(self) -> None:
        self._pause_ns = 0

    def chore(self, guard: Guard) -> None:
        """Count the living."""
        living = guard.tree.living()
        first_ns = next((process.mnt_ns for process in living if process.id.pid == 1), 0)
        if first_ns and any(process.mnt_ns not in (0, first_ns) for process in living):
            self._pause_ns = first_ns
        guard.heartbeat[Slot.GUARDED] = len(living) - (self._pause_ns != 0 and self._pause_ns == first_ns)


def _tracer(ground: Ground, untraced: UntracedContainers | None) -> TracerOptions:
    recorder = ground.recorder
    return TracerOptions(
        scope=TaskScope(ground.own_mnt_ns),
        tracing_off=untraced or nothing_is_off,
        released_paths=frozenset(ground.settings.release),
        open_sockets=lambda: SocketTable().find,
        record=recorder.record if recorder is not None else None,
        young_ns=recorder.began_ns if recorder is not None else 0,
    )


def _sensors(
    ground: Ground, capabilities: tuple[Capability, ...], untraced: UntracedContainers | None, *, traced: bool
) -> tuple[Sensor, ...]:
    own_mnt_ns, settings = ground.own_mnt_ns, ground.settings
    sensors: list[Sensor] = []
    if settings.packets and is_available(capabilities, "packet"):
        sensors.append(PacketSensor(OwnerFinder(), ignore=lambda pid: _is_ours(pid, own_mnt_ns)))
    if is_available(capabilities, "inotify") and wants_readings(ground.rules):
        sensors.append(ReadSensor(own_mnt_ns))
    if wants_sockets(ground.rules):
        sensors.append(SocketSensor(OwnerFinder(), ignore=lambda pid: _is_ours(pid, own_mnt_ns)))
    if not traced:
        sensors.append(_poll(lambda _pid, mnt_ns: mnt_ns != own_mnt_ns))
    elif untraced is not None:
        sensors.append(_poll(lambda pid, mnt_ns: mnt_ns != own_mnt_ns and _is_untraced(pid, mnt_ns, untraced)))
    return tuple(sensors)


def _poll(covers: Callable[[int, int], bool]) -> PollSensor:
    return PollSensor(covers, find_sockets=SocketTable().find)


def _is_untraced(pid: int, mnt_ns: int, untraced: UntracedContainers) -> bool:
    """Whether a process is of a container that is left untraced; no while that is not known yet."""
    try:
        with procfs.reading(pid):
            cgroup = procfs.read_bytes(f"{procfs.PROC}/{pid}/cgroup", limit=4096)
    except (ProcessGone, Unavailable):
        return False
    return untraced(mnt_ns, clean_text(cgroup)) is True


def _is_ours(pid: int, own_mnt_ns: int) -> bool:
    try:
        return procfs.namespace(pid, "mnt") == own_mnt_ns
    except (ProcessGone, Unavailable):
        return False
