"""The parts of a host's guard: one process tree of ours for every task of an EC2 container instance.

The best of each sense first: the proc connector for processes, fanotify for files, a tap in each network namespace.
Where one cannot be had, what a task has takes its place, sense by sense, and that is said.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from outrider_sidecar.clocks import started_at_ns
from outrider_sidecar.gate import GateOptions, Pair, Response, gate_options, gate_sight, open_pair, probe_gate
from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.hostnaming import HostNaming
from outrider_sidecar.linux import procfs
from outrider_sidecar.linux.namespace_sockets import NamespaceSockets
from outrider_sidecar.linux.sock_diag import probe_sock_diag
from outrider_sidecar.log import say
from outrider_sidecar.modes import Chore, Ground, Parts, Within, is_available, make_selecting
from outrider_sidecar.modes.choice import is_on_host
from outrider_sidecar.modes.network import FIRST, HostNetwork, find_host_network
from outrider_sidecar.modes.task import traces
from outrider_sidecar.selection import Selection
from outrider_sidecar.sensors import Capability, Sensor
from outrider_sidecar.sensors.attach import TracerOptions, probe_attach
from outrider_sidecar.sensors.files import FileSensor, probe_inotify
from outrider_sidecar.sensors.host import LookoutOptions, probe_connector, run_lookout
from outrider_sidecar.sensors.host.fanotify_probe import probe_fanotify
from outrider_sidecar.sensors.host.marked import MarkedFiles
from outrider_sidecar.sensors.host.marks import FileMarks
from outrider_sidecar.sensors.host.options import id_in_cgroup
from outrider_sidecar.sensors.namespaces import NamespaceSensor
from outrider_sidecar.sensors.packets import probe_packet
from outrider_sidecar.sensors.poll import PollSensor, probe_poll
from outrider_sidecar.sensors.reads import ReadSensor
from outrider_sidecar.settings import Settings
from outrider_sidecar.supervisor import Sight
from outrider_sidecar.wanted import wants_readings, wants_sockets
from outrider_sidecar.world.container import Container
from outrider_sidecar.world.tree import Process
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.text import clean_text

if TYPE_CHECKING:
    from outrider_sidecar.guard import Guard, MakeFileWatch

HOST: Final = "host"


def probe_host(settings: Settings) -> tuple[Capability, ...]:
    """What can be seen here of a host, each found out by doing it; the gate only where it is asked for."""
    seen = (
        *(probe_connector(), probe_attach(), probe_poll(), probe_fanotify(), probe_inotify()),
        *(probe_packet(), probe_sock_diag()),
    )
    return seen if settings.respond == "off" else (*seen, probe_gate())


def host_parts(ground: Ground, capabilities: tuple[Capability, ...]) -> Parts:
    """What guards a host with these capabilities. Raises ConfigError for a selector that makes no sense."""
    settings = ground.settings
    selection = Selection(include=settings.include, exclude=settings.exclude)
    connected = is_available(capabilities, "connector")
    tracer = _tracer(ground) if not connected and traces(settings, capabilities) else None
    marked = connected and is_available(capabilities, "fanotify")
    gate = _gate(settings, capabilities)
    chosen = {
        "process": "connector" if connected else "attach" if tracer else "poll",
        "file": "fanotify" if marked else "inotify",
    }
    say("what tells of a host here", **chosen)
    if not connected:
        say(f"processes are told of by {chosen['process']}: the proc connector is not to be had")
    if not marked:
        say("files are watched by inotify, which names no process: fanotify is not to be had, or nobody could use it")
    return Parts(
        tracer=tracer,
        lookout=_lookout(ground, marked=marked) if connected else None,
        gate=gate_sight(*gate) if gate is not None else None,
        enter=partial(_enter, ground, capabilities, selection, gate, chosen),
    )


def _enter(
    ground: Ground,
    capabilities: tuple[Capability, ...],
    selection: Selection,
    gate: tuple[GateOptions, Pair] | None,
    chosen: dict[str, str],
) -> Within:
    """Made in the engine's process; `chosen` says what tells of processes and of files."""
    marked = chosen["file"] == "fanotify"
    settings, own = ground.settings, ground.own_mnt_ns
    host = _host_namespace()
    network = find_host_network(on_host=is_on_host())
    networks = _networks(ground, capabilities, network)
    selecting = make_selecting(selection)
    naming = HostNaming(settings.agent_uri, on_learnt=selecting.chore)
    response = Response(gate[1], gate[0]) if gate is not None else None
    sensors: list[Sensor] = [networks]
    if chosen["process"] == "poll":
        sensors.append(PollSensor(lambda pid, _mnt_ns: _is_contained(pid), find_sockets=NamespaceSockets().find))
    if not marked and is_available(capabilities, "inotify") and wants_readings(ground.rules):
        sensors.append(ReadSensor(host))

    def begin(guard: "Guard") -> None:
        selecting.begin(guard)
        if settings.guard_host:
            _guard_host(guard, host)
        if response is not None:
            response.start(guard)

    def status(guard: "Guard") -> dict[str, Any]:
        said = naming.status(guard) | selecting.status() | {"chosen": chosen, "execs": execs_told(guard.heartbeat)}
        if isinstance(guard.files, MarkedFiles):
            said["file_watch"] = {"marked": guard.files.marked, "by_inotify": guard.files.by_inotify}
        return said | ({"gate": response.status()} if response is not None else {})

    chores: tuple[Chore, ...] = (naming.chore, selecting.chore)
    files: MakeFileWatch = MarkedFiles if marked else FileSensor
    return Within(
        # guarded, the host's own mount namespace is a container like any other
        guest_ns=own if own != host or not settings.guard_host else 0,
        host_net_ns=network.net_ns,
        sensors=tuple(sensors),
        chores=chores if response is None else (*chores, response.chore),
        files=files,
        begin=begin,
        on_program=partial(_follow, networks),
        status=status,
    )


def execs_told(heartbeat: Heartbeat) -> dict[str, int]:
    """How many starts of programs the lookout saw, and of how many all was read, only the program, or not even that."""
    seen, completed, poor = (heartbeat[slot] for slot in (Slot.EXECS_SEEN, Slot.EXECS_COMPLETED, Slot.EXECS_POOR))
    return {"seen": seen, "whole": seen - completed - poor, "program_alone": completed, "poor": poor}


def _follow(networks: NamespaceSensor, _guard: "Guard", container: Container, process: Process) -> None:
    """Tap the network of whoever is met."""
    if not container.is_pause:
        networks.follow(container.net_ns, process.id.pid, new=process.seen == "exec")


def _guard_host(guard: "Guard", host: int) -> None:
    """What is of no container is of one that is called `host`."""
    began_ns = started_at_ns(procfs.read_stat(FIRST[0]).process)
    own = guard.containers.see(host, "", began_ns, began_ns)
    if own is not None:
        own.id = own.name = HOST


def _host_namespace() -> int:
    """The mount namespace of the host's own processes; ours where none of the first may be looked at."""
    for pid in (*FIRST, os.getpid()):
        try:
            return procfs.namespace(pid, "mnt")
        except (ProcessGone, Unavailable):
            continue
    return 0


def _networks(ground: Ground, capabilities: tuple[Capability, ...], network: HostNetwork) -> NamespaceSensor:
    ours = OurProcesses(os.getppid())
    return NamespaceSensor(
        ignore=ours.has,
        guarded=_is_contained,
        guard_host=ground.settings.guard_host,
        host_pid=network.pid,
        taps=ground.settings.packets and is_available(capabilities, "packet"),
        sockets=wants_sockets(ground.rules),
    )


def _lookout(ground: Ground, *, marked: bool) -> Sight:
    recorder = ground.recorder
    options = LookoutOptions(
        guard_host=ground.settings.guard_host,
        marks=FileMarks if marked else None,
        open_sockets=lambda: NamespaceSockets().find,
        record=recorder.record if recorder is not None else None,
    )

    def look_out(pipe_fd: int, heartbeat: Heartbeat, supervisor_pid: int, generation: int) -> int:
        return run_lookout(options, pipe_fd, heartbeat, supervisor_pid=supervisor_pid, generation=generation)

    return look_out


def _gate(settings: Settings, capabilities: tuple[Capability, ...]) -> tuple[GateOptions, Pair] | None:
    options = gate_options(settings)
    if options is None:
        return None
    if not is_available(capabilities, "gate"):
        say("nobody's start can be refused here, whatever respond says")
        return None
    return options, open_pair()


def _tracer(ground: Ground) -> TracerOptions:
    recorder = ground.recorder
    return TracerOptions(
        scope=ContainerScope(),
        released_paths=frozenset(ground.settings.release),
        open_sockets=lambda: NamespaceSockets().find,
        record=recorder.record if recorder is not None else None,
        young_ns=recorder.began_ns if recorder is not None else 0,
    )


class ContainerScope(Struct, frozen=True):
    """Every process of a container; those of the host itself are never traced."""

    @property
    def by_descent(self) -> bool:
        return False

    def covers(self, pid: int, _mnt_ns: int, _descends_from: Callable[[int], bool], /) -> bool:
        return _is_contained(pid)


class OurProcesses:
    """Whose pid is one of ours: the supervisor's, or one of its children's."""

    def __init__(self, supervisor_pid: int) -> None:
        self._supervisor_pid = supervisor_pid

    def has(self, pid: int) -> bool:
        try:
            return pid == self._supervisor_pid or procfs.read_stat(pid).ppid == self._supervisor_pid
        except (ProcessGone, Unavailable, ValueError):
            return False


def _is_contained(pid: int) -> bool:
    """Whether a process is of some container."""
    try:
        with procfs.reading(pid):
            cgroup = procfs.read_bytes(f"{procfs.PROC}/{pid}/cgroup", limit=4096)
    except (ProcessGone, Unavailable):
        return False
    return bool(id_in_cgroup(clean_text(cgroup)))
