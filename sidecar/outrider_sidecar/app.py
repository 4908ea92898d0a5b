"""The sidecar of a task, put together: what `outrider run` starts."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from outrider_rules import RuleSet
from outrider_sidecar import SOFTWARE
from outrider_sidecar.guard import Guard, Plan
from outrider_sidecar.health import Health
from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.intel import Intel, load_intel
from outrider_sidecar.journal import Journal, load_resume_key
from outrider_sidecar.linux import procfs
from outrider_sidecar.linux.memory import settle_before_fork, use_one_arena
from outrider_sidecar.linux.sock_diag import SocketTable, probe_sock_diag
from outrider_sidecar.log import say
from outrider_sidecar.memory import Memory
from outrider_sidecar.naming import Naming
from outrider_sidecar.outlets import JournalSink, LinesSink, Sinks
from outrider_sidecar.recorder import Recorder
from outrider_sidecar.replay import Replay
from outrider_sidecar.rulebook import arm_rulebook, load_rulebook
from outrider_sidecar.selfcheck import SelfCheck
from outrider_sidecar.sensors import Capability, Sensor
from outrider_sidecar.sensors.attach import TaskScope, TracerOptions, probe_attach
from outrider_sidecar.sensors.attach.options import nothing_is_off
from outrider_sidecar.sensors.files import probe_inotify
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_sidecar.sensors.packets import PacketSensor, probe_packet
from outrider_sidecar.sensors.poll import PollSensor, probe_poll
from outrider_sidecar.sensors.reads import ReadSensor
from outrider_sidecar.sensors.sockets import SocketSensor
from outrider_sidecar.settings import Settings, token_of
from outrider_sidecar.shipping import Shipping
from outrider_sidecar.supervisor import supervise
from outrider_sidecar.untraced import UntracedContainers
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.signing import SigningKey
from outrider_wire.text import clean_text

if TYPE_CHECKING:
    from outrider_sidecar.falco_output import FalcoSink

HOST_PID_NS: Final = 0xEFFFFFFC
"""The inode number of the machine's first PID namespace (PROC_PID_INIT_INO in the kernel)."""
FLUSH_S: Final = 4.0
"""Longest that the end waits for the collector."""
FALCO_FLUSH_S: Final = 1.0
"""Longest that it waits for those who take Falco's alerts."""


class Prepared(Struct, frozen=True):
    """All that is made before the first fork, and shared by the processes. `attach`: processes are traced."""

    settings: Settings
    own_mnt_ns: int
    rules: RuleSet
    intel: Intel
    capabilities: tuple[Capability, ...]
    key: SigningKey
    attach: bool
    untraced: UntracedContainers | None
    recorder: Recorder | None
    falco: "FalcoSink | None"


def run_sidecar(settings: Settings) -> int:
    """Guard the task until SIGTERM; the exit code. Raises ConfigError, Unavailable before anything is started."""
    _refuse_whole_machine(settings)
    use_one_arena()
    prepared = _prepare(settings)
    settle_before_fork()
    say(
        "outrider starts",
        software=SOFTWARE,
        agent=prepared.key.agent,
        rules=len(prepared.rules),
        domains=len(prepared.intel),
    )
    return supervise(
        partial(_run_engine, prepared),
        tracer=_tracer_options(prepared) if prepared.attach else None,
        stop_after_s=max(settings.stop_timeout_s - 5.0, 0.0),
    )


def _refuse_whole_machine(settings: Settings) -> None:
    if not settings.guard_host and procfs.namespace(os.getpid(), "pid") == HOST_PID_NS:
        raise Unavailable(
            "this is the machine's own PID namespace, not a task's: every process of the machine would be traced",
            "run it in a task with pidMode task, or set guard_host to guard the whole machine",
        )


def _prepare(settings: Settings) -> Prepared:
    """Read, probe and compile everything; what is wrong with the settings is found out here."""
    rules, intel = load_rulebook(settings.rules), load_intel(settings.intel)
    token_of(settings)
    capabilities = probe_all(in_task=True)
    for capability in capabilities:
        sees = "sees" if capability.available else "is blind"
        what = f"{capability.sense}: {capability.sensor} {sees}"
        say(what, reason=capability.reason, remedy=capability.remedy)
    attach = settings.attach and _is_available(capabilities, "attach")
    return Prepared(
        settings=settings,
        own_mnt_ns=procfs.namespace(os.getpid(), "mnt"),
        rules=rules,
        intel=intel,
        capabilities=(*capabilities, arm_rulebook(rules, capabilities, mode="task")),
        key=SigningKey.generate(),
        attach=attach,
        untraced=UntracedContainers(settings.tracing_off, settings.metadata_uri) if settings.tracing_off else None,
        recorder=_open_recorder(Path(settings.journal_dir)) if attach else None,
        falco=_falco_sink(settings),
    )


def _tracer_options(prepared: Prepared) -> TracerOptions:
    recorder = prepared.recorder
    return TracerOptions(
        scope=TaskScope(prepared.own_mnt_ns),
        tracing_off=prepared.untraced or nothing_is_off,
        released_paths=frozenset(prepared.settings.release),
        open_sockets=lambda: SocketTable().find,
        record=recorder.record if recorder is not None else None,
        young_ns=recorder.began_ns if recorder is not None else 0,
    )


def _run_engine(prepared: Prepared, pipe_fd: int, heartbeat: Heartbeat) -> int:
    """The whole life of the engine's process."""
    settings, falco = prepared.settings, prepared.falco
    root = Path(settings.journal_dir)
    journal = Journal.open(root, limit_bytes=settings.journal_limit_bytes, key=prepared.key)
    memory = Memory(root)
    shipping = Shipping(settings, journal, prepared.key, load_resume_key(root), prepared.capabilities)
    health = Health(root, prepared.capabilities)
    sinks = _sinks(prepared, journal)

    def facts_of(guard: Guard) -> dict[str, Any]:
        said = falco.status() if falco is not None else {}
        return shipping.status() | guard.facts() | said | {"findings_refused": sinks.refused}

    def begin(guard: Guard) -> bool:
        looked = not prepared.attach or heartbeat[Slot.TRACER_READY] > 0
        return health.begin(facts_of(guard), seeing=looked and guard.files.important_done())

    chores = (
        Naming(settings.metadata_uri).chore,
        memory.chore,
        SelfCheck().chore,
        shipping.chore,
        lambda guard: health.write(facts_of(guard)),
    )
    guard = Guard(_plan(prepared, chores, begin), sinks, heartbeat)
    memory.recall(guard)
    shipping.start()
    try:
        guard.run(pipe_fd)
    finally:
        memory.keep(guard)
        if falco is not None:
            falco.close(deadline_s=FALCO_FLUSH_S)
        shipping.flush(FLUSH_S)
        journal.close()
        health.remove()
    return 0


def _sinks(prepared: Prepared, journal: Journal) -> Sinks:
    sinks = Sinks(JournalSink(journal, events=prepared.settings.send_events))
    if prepared.settings.findings_file:
        sinks.add(LinesSink(prepared.settings.findings_file))
    if prepared.falco is not None:
        sinks.add(prepared.falco)
    return sinks


def _plan(prepared: Prepared, chores: Sequence[Callable[[Guard], None]], until_ready: Callable[[Guard], bool]) -> Plan:
    return Plan(
        agent=prepared.key.agent,
        rules=prepared.rules,
        intel=prepared.intel,
        own_mnt_ns=prepared.own_mnt_ns,
        sensors=_sensors(prepared),
        file_watch_limit=prepared.settings.file_watch_limit,
        expected_drift=prepared.settings.expected_drift,
        replay=Replay(prepared.recorder) if prepared.recorder is not None else None,
        chores=chores,
        until_ready=until_ready,
    )


def probe_all(*, in_task: bool) -> tuple[Capability, ...]:
    """What can be seen here, each found out by doing it."""
    return (probe_attach(in_task=in_task), probe_poll(), probe_inotify(), probe_packet(), probe_sock_diag())


def _falco_sink(settings: Settings) -> "FalcoSink | None":
    """Where Falco's alerts are wanted; its HTTP and TLS are loaded only then. Raises ConfigError."""
    if not settings.falco_output:
        return None
    from outrider_sidecar.falco_output import FalcoSink

    return FalcoSink(settings.falco_output, hostname=settings.hostname, ca_file=settings.falco_ca_file)


def _open_recorder(directory: Path) -> Recorder | None:
    """The flight recorder; without room for it guarding goes on, and that is told."""
    try:
        return Recorder(directory)
    except OSError as error:
        say("no flight recorder: what is seen just before the sidecar is killed may be lost", reason=str(error))
        return None


def _is_available(capabilities: tuple[Capability, ...], sensor: str) -> bool:
    return any(c.sensor == sensor and c.available for c in capabilities)


def _sensors(prepared: Prepared) -> tuple[Sensor, ...]:
    own_mnt_ns, untraced = prepared.own_mnt_ns, prepared.untraced
    sensors: list[Sensor] = []
    if prepared.settings.packets and _is_available(prepared.capabilities, "packet"):
        sensors.append(PacketSensor(OwnerFinder(), ignore=lambda pid: _is_ours(pid, own_mnt_ns)))
    if prepared.settings.rules:  # the built-in pack asks for nothing that these tell
        if _is_available(prepared.capabilities, "inotify"):
            sensors.append(ReadSensor(own_mnt_ns))
        sensors.append(SocketSensor(OwnerFinder(), ignore=lambda pid: _is_ours(pid, own_mnt_ns)))
    if not prepared.attach:
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
