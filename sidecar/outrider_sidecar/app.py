"""The guard of a task or a host, put together: what `outrider run` starts."""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from outrider_sidecar import SOFTWARE
from outrider_sidecar.guard import Guard, Plan
from outrider_sidecar.health import Health
from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.intel import Intel, load_intel
from outrider_sidecar.journal import Journal, load_resume_key
from outrider_sidecar.journal.directory import check_directory
from outrider_sidecar.linux import procfs
from outrider_sidecar.linux.memory import settle_before_fork, use_one_arena
from outrider_sidecar.linux.sd_notify import find_service_manager
from outrider_sidecar.lists.updates import ListUpdates
from outrider_sidecar.log import say
from outrider_sidecar.memory import Memory
from outrider_sidecar.modes import Ground, Name, Parts, Within, is_available
from outrider_sidecar.modes.choice import choose_mode, is_on_host
from outrider_sidecar.modes.task import probe_task, task_parts, traces
from outrider_sidecar.outlets import JournalSink, LinesSink, Sinks
from outrider_sidecar.recorder import Recorder
from outrider_sidecar.replay import Replay
from outrider_sidecar.rulebook import arm_rulebook, load_rulebook
from outrider_sidecar.selfcheck import SelfCheck
from outrider_sidecar.sensors import Capability
from outrider_sidecar.settings import Settings, token_of
from outrider_sidecar.shipping import Shipping
from outrider_sidecar.supervisor import supervise
from outrider_sidecar.transport import HttpTransport
from outrider_sidecar.world.kinds import EVENT_TYPES
from outrider_wire.lists import MAX_TABLE_BYTES
from outrider_wire.signing import SigningKey

if TYPE_CHECKING:
    from outrider_sidecar.falco_output import FalcoSink

FLUSH_S: Final = 3.0
"""Longest that the end waits for others: of the five seconds before SIGKILL, what ends before and after takes some."""
FALCO_FLUSH_S: Final = 1.0
"""Longest, of that, for those who take Falco's alerts."""


class Prepared(Struct, frozen=True):
    """All that is made before the first fork, and shared by the processes."""

    settings: Settings
    ground: Ground
    parts: Parts
    intel: Intel
    capabilities: tuple[Capability, ...]
    key: SigningKey
    falco: "FalcoSink | None"


def run_sidecar(settings: Settings) -> int:
    """Guard the task or the host until SIGTERM; the exit code.

    Raises ConfigError, Unavailable before anything is started.
    """
    mode = choose_mode(settings, on_host=is_on_host())
    use_one_arena()
    prepared = _prepare(settings, mode)
    settle_before_fork()
    say(
        "outrider starts",
        software=SOFTWARE,
        mode=mode,
        agent=prepared.key.agent,
        rules=len(prepared.ground.rules),
        domains=len(prepared.intel),
    )
    parts = prepared.parts
    return supervise(
        partial(_run_engine, prepared),
        tracer=parts.tracer,
        lookout=parts.lookout,
        gate=parts.gate,
        stop_after_s=parts.stop_after_s,
        manager=find_service_manager(os.environ, pid=os.getpid()),
    )


def _prepare(settings: Settings, mode: Name) -> Prepared:
    """Read, probe and compile everything; what is wrong with the settings is found out here."""
    rules, intel = load_rulebook(settings.rules), load_intel(settings.intel)
    rules.prepare(EVENT_TYPES)  # up to 30 ms a type, in which the engine would see nothing, and shared this way
    token_of(settings)
    check_directory(Path(settings.journal_dir))
    capabilities = probe_mode(mode, settings)
    for capability in capabilities:
        sees = "sees" if capability.available else "is blind"
        what = f"{capability.sense}: {capability.sensor} {sees}"
        say(what, reason=capability.reason, remedy=capability.remedy)
    ground = Ground(
        settings=settings,
        own_mnt_ns=procfs.namespace(os.getpid(), "mnt"),
        rules=rules,
        recorder=_open_recorder(Path(settings.journal_dir)) if records(settings, mode, capabilities) else None,
    )
    return Prepared(
        settings=settings,
        ground=ground,
        parts=make_parts(mode, ground, capabilities),
        intel=intel,
        capabilities=(*capabilities, arm_rulebook(rules, capabilities, mode=mode, host_too=settings.guard_host)),
        key=SigningKey.generate(),
        falco=_falco_sink(settings),
    )


def _run_engine(prepared: Prepared, pipe_fd: int, heartbeat: Heartbeat) -> int:
    """The whole life of the engine's process."""
    settings, falco = prepared.settings, prepared.falco
    root = Path(settings.journal_dir)
    journal = Journal.open(root, limit_bytes=settings.journal_limit_bytes, key=prepared.key)
    memory = Memory(root)
    lists = _list_updates(settings, root)
    shipping = Shipping(settings, journal, prepared.key, load_resume_key(root), prepared.capabilities, lists=lists)
    health = Health(root, prepared.capabilities)
    sinks = _sinks(prepared, journal)
    within = prepared.parts.enter()

    def facts_of(guard: Guard) -> dict[str, Any]:
        said = falco.status() if falco is not None else {}
        said |= lists.status() if lists is not None else {}
        return shipping.status() | guard.facts() | within.status(guard) | said | {"findings_refused": sinks.refused}

    def begin(guard: Guard) -> bool:
        looked = not prepared.parts.sees_processes or heartbeat[Slot.TRACER_READY] > 0
        return health.begin(facts_of(guard), seeing=looked and guard.looked_around())

    chores = (
        *within.chores,
        memory.chore,
        SelfCheck().chore,
        shipping.chore,
        lambda guard: health.write(facts_of(guard)),
    )
    guard = Guard(_plan(prepared, within, chores, begin), sinks, heartbeat)
    memory.recall(guard)
    within.begin(guard)
    if lists is not None:
        lists.begin(guard)
    shipping.start()
    try:
        guard.run(pipe_fd)
    finally:
        flush_until_s = time.monotonic() + FLUSH_S
        memory.keep(guard)
        if lists is not None:
            lists.stop()
        if falco is not None:
            falco.close(deadline_s=FALCO_FLUSH_S)
        shipping.flush(max(flush_until_s - time.monotonic(), 0.0))
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


def _plan(
    prepared: Prepared,
    within: Within,
    chores: Sequence[Callable[[Guard], None]],
    until_ready: Callable[[Guard], bool],
) -> Plan:
    return Plan(
        agent=prepared.key.agent,
        rules=prepared.ground.rules,
        intel=prepared.intel,
        own_mnt_ns=within.guest_ns,
        host_net_ns=within.host_net_ns,
        host_guarded=prepared.settings.guard_host,
        sensors=within.sensors,
        file_watch_limit=prepared.settings.file_watch_limit,
        expected_drift=prepared.settings.expected_drift,
        replay=Replay(prepared.ground.recorder) if prepared.ground.recorder is not None else None,
        takes_lists=bool(prepared.settings.collector_url and prepared.settings.lists_limit_bytes),
        files=within.files,
        on_program=within.on_program,
        chores=chores,
        until_ready=until_ready,
    )


def probe_mode(mode: Name, settings: Settings) -> tuple[Capability, ...]:
    """What can be seen here in a mode, each found out by doing it."""
    if mode == "host":
        from outrider_sidecar.modes.host import probe_host

        return probe_host(settings)
    return probe_task()


def records(settings: Settings, mode: Name, capabilities: tuple[Capability, ...]) -> bool:
    """Whether a process of its own tells of processes, whose records a flight recorder may keep."""
    return (mode == "host" and is_available(capabilities, "connector")) or traces(settings, capabilities)


def make_parts(mode: Name, ground: Ground, capabilities: tuple[Capability, ...]) -> Parts:
    """The parts of a mode; a host's are loaded only there."""
    if mode == "host":
        from outrider_sidecar.modes.host import host_parts

        return host_parts(ground, capabilities)
    return task_parts(ground, capabilities)


def _falco_sink(settings: Settings) -> "FalcoSink | None":
    """Where Falco's alerts are wanted; its HTTP and TLS are loaded only then. Raises ConfigError."""
    if not settings.falco_output:
        return None
    from outrider_sidecar.falco_output import FalcoSink

    return FalcoSink(settings.falco_output, hostname=settings.hostname, ca_file=settings.falco_ca_file)


def _list_updates(settings: Settings, root: Path) -> ListUpdates | None:
    """What brings the collector's threat lists, where there is a collector and they are wanted."""
    if not settings.collector_url or settings.lists_limit_bytes <= 0:
        return None
    transport = HttpTransport(settings.collector_url, ca_file=settings.collector_ca_file)
    key = bytes.fromhex(settings.lists_key)
    return ListUpdates(root, transport, key=key, max_table_bytes=min(settings.lists_limit_bytes, MAX_TABLE_BYTES))


def _open_recorder(directory: Path) -> Recorder | None:
    """The flight recorder; without room for it guarding goes on, and that is told."""
    try:
        return Recorder(directory)
    except OSError as error:
        say("no flight recorder: what is seen just before the sidecar is killed may be lost", reason=str(error))
        return None
