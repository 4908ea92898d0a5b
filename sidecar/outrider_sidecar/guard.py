"""The engine's process, put together: sensors in threads, one engine thread, the journal and the shipper.

Nothing here judges; this is where objects are made and joined. `Guard` is the same for a task and for `watch`;
what differs comes in a `Plan`.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct

from outrider_rules import RuleSet
from outrider_sidecar.clocks import started_at_ns
from outrider_sidecar.engine import RECORD_WAIT_S, Engine, Sink
from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.intake import Intake, read_pipe
from outrider_sidecar.intel import Intel
from outrider_sidecar.linux import procfs
from outrider_sidecar.linux.latefacts import ProcFacts
from outrider_sidecar.linux.namespace_sockets import NamespaceSockets
from outrider_sidecar.linux.netns import network_of
from outrider_sidecar.log import say
from outrider_sidecar.replay import Replay
from outrider_sidecar.sensors import FileWatch, Follower, Sensor
from outrider_sidecar.sensors.buildids import BuildIds
from outrider_sidecar.sensors.digests import DigestSensor
from outrider_sidecar.sensors.files import FileSensor
from outrider_sidecar.sensors.files.scan import Bounds
from outrider_sidecar.sensors.holdings import look_at
from outrider_sidecar.sensors.libraries import LibrarySensor
from outrider_sidecar.sensors.orders import LibraryOrders, root_of
from outrider_sidecar.settings import ExpectedDrift
from outrider_sidecar.world.containers import Container, Containers
from outrider_sidecar.world.drift import DriftRecord, DriftState
from outrider_sidecar.world.lineage import Held
from outrider_sidecar.world.networks import Networks
from outrider_sidecar.world.shells import Shells
from outrider_sidecar.world.ties import TieTracker
from outrider_sidecar.world.tree import Process, ProcessTree
from outrider_sidecar.world.world import World
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import (
    Event,
    FileChanged,
    LibraryLoaded,
    ProcessExecuted,
    ProcessExited,
    ProcessId,
    SightLost,
    SocketFacts,
)
from outrider_wire.listtable import ListTable

IDLE_WAIT_S: Final = 0.5
CHORES_EVERY_S: Final = 1.0
BUSY_WAIT_S: Final = 0.01
TICK_S: Final = 0.01
SWITCH_S: Final = 0.001
"""A sensor's thread waits at most so long for the interpreter: a socket may live no longer."""
JOIN_S: Final = 0.5
"""Longest that the end waits for all sensors' threads together."""
MAX_PLACES: Final = 64
"""Most directories of programs watched besides the ordinary places, in each container."""


MakeFileWatch = Callable[..., FileWatch]


class Plan(Struct, frozen=True):
    """What differs between a task, a host and one watched command.

    `own_mnt_ns` is not guarded (0: nothing is left out). `baseline_ns` is from when on files count as new, 0 where
    each container tells its own. `sensors` run in threads of their own besides the file watch. `replay` has what an
    earlier engine did not get to judge.
    """

    agent: str
    rules: RuleSet
    intel: Intel
    own_mnt_ns: int = 0
    host_net_ns: int = 0
    """The network namespace of a host whose tasks are guarded; 0 where one task is."""
    host_guarded: bool = False
    """Whether processes of no container are guarded, too."""
    baseline_ns: int = 0
    sensors: Sequence[Sensor] = ()
    file_watch_limit: int = 12_000
    expected_drift: tuple[ExpectedDrift, ...] = ()
    replay: Replay | None = None
    files: MakeFileWatch = FileSensor
    """Makes the file watch; called with the keyword arguments of `FileSensor`."""
    on_program: Callable[["Guard", Container, Process], None] = lambda _guard, _container, _process: None
    """Called in the engine's thread with each program that is started, and where."""
    takes_lists: bool = False
    """A collector's threat lists may come: there is a thread for the digests of new files."""
    chores: Sequence[Callable[["Guard"], None]] = ()
    """Called in the engine's thread a few times a second: health, naming of containers, state."""
    until_ready: Callable[["Guard"], bool] = lambda _: True
    """Called there many times a second until it says that the guard is ready."""


class Guard:
    """All that one engine process owns."""

    def __init__(self, plan: Plan, sink: Sink, heartbeat: Heartbeat) -> None:
        self.plan = plan
        self.heartbeat = heartbeat
        self.stop = threading.Event()
        self.intake = Intake(clock_ns=time.time_ns)
        self.tree = ProcessTree()
        self.containers = Containers(self._new_drift, own_mnt_ns=plan.own_mnt_ns)
        self._sockets = NamespaceSockets()
        self.earlier_drift: Callable[[int, str], DriftState | None] = lambda *_: None
        """What an earlier sidecar remembered of a container."""
        self.unguarded_for_ms = 0
        self._chores_due = False
        self._ready = False
        self._places: dict[int, set[str]] = {}
        self._shared_ns = 0 if plan.own_mnt_ns else procfs.namespace(os.getpid(), "mnt")
        """The mount namespace we share with what is guarded (`watch`): we lead to its root when nobody else does."""
        self._build_ids = BuildIds(self._pids_of)
        self._orders = LibraryOrders(self._roots_of)
        bounds = Bounds(total=plan.file_watch_limit, per_container=plan.file_watch_limit)
        self.files: FileWatch = plan.files(
            pids_of=self._pids_of, on_unmount=self._unmounted, on_scanned=_say_scanned, bounds=bounds
        )
        self.libraries = LibrarySensor(
            pids_of=self._pids_of,
            wanted=self._want_libraries,
            containers=lambda: [(c.mnt_ns, c.drift.baseline_ns) for c in self.containers.all()],
            living=self._running,
        )
        networks = Networks(self.containers, host_net_ns=plan.host_net_ns, host_guarded=plan.host_guarded)
        shells = Shells(self._build_ids.of_process, self._build_ids.of_shells)
        self.world = World(
            tree=self.tree,
            containers=self.containers,
            shells=shells,
            ties=TieTracker(
                self.tree,
                shells,
                self._look,
                clock=time.monotonic,
                spent=time.thread_time,
                near=networks.neighbours,
                spoke_last=self._spoke_last,
                has_heard=self._has_heard,
            ),
            intel=plan.intel,
            started_at=started_at_ns,
            ordered_libraries=self._orders.of,
            exit_libraries=self._exit_libraries,
            on_program=self._follow,
            network_of=network_of,
            networks=networks,
            late=ProcFacts(self._pids_of),
        )
        self.digests = DigestSensor(
            algorithms=lambda: self.world.intel.algorithms, is_listed=self._is_listed, pids_of=self._pids_of
        )
        self.engine = Engine(
            world=self.world,
            rules=plan.rules,
            sink=sink,
            agent=plan.agent,
            expected_drift=plan.expected_drift,
            clock=time.monotonic,
            files_caught_up=self.files.caught_up,
            all_taken=lambda: not len(self.intake),
            record_wait_s=RECORD_WAIT_S if plan.host_net_ns else 0.0,
        )

        self.containers.on_succeeded = self._succeeded

    def run(self, pipe_fd: int) -> None:
        """Judge until asked to stop; called in the main thread."""
        sys.setswitchinterval(SWITCH_S)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())
        threads = self._start_threads(pipe_fd)
        self._loop()
        self.engine.flush()
        join_until_s = time.monotonic() + JOIN_S
        for thread in threads:
            thread.join(timeout=max(join_until_s - time.monotonic(), 0.0))

    def take_lists(self, table: ListTable) -> None:
        """Have the collector's lists take the place of the earlier ones; in the engine's thread.

        Programs that run already are looked at again: what they are was perhaps not known when they began.
        """
        self.world.intel = self.plan.intel.with_table(table)
        for process in self.tree.living():
            self._hash_new(process)

    def lists_refused(self, sentence: str) -> None:
        """Tell of threat lists that are not taken; from any thread."""
        self.intake.put(SightLost(time.time_ns(), "threat lists", sentence))

    def facts(self) -> dict[str, Any]:
        """What is guarded now, for health."""
        files = {"watched": self.files.directories, "settled": self.files.settled(), "left": self.files.left}
        digests = {"hashed": self.digests.hashed, "left": self.digests.left}
        return {"guarded": len(self.tree.living()), "files": files, "digests": digests}

    def looked_around(self) -> bool:
        """Whether what matters most is seen: the most important files, and whatever sensors find by themselves."""
        return self.files.important_done() and all(follower.looked for follower in self._followers())

    def _followers(self) -> list[Follower]:
        return [sensor for sensor in self.plan.sensors if isinstance(sensor, Follower)]

    def _loop(self) -> None:
        next_tick_s = next_chores_s = 0.0
        while not (self.stop.is_set() and len(self.intake) == 0):
            item = self.intake.take(BUSY_WAIT_S if self.engine.waiting or not self._ready else IDLE_WAIT_S)
            if callable(item):
                item()
            elif item is not None:
                self._handle(item)
            now_s = time.monotonic()
            if now_s >= next_tick_s:
                next_tick_s = now_s + TICK_S
                self.heartbeat.beat(Slot.ENGINE_BEAT)
                self.engine.tick(time.time_ns())
                self._ready = self._ready or self.plan.until_ready(self)
            if self._chores_due or now_s >= next_chores_s:
                self._chores_due = False
                next_chores_s = now_s + CHORES_EVERY_S
                self._replay()
                for chore in self.plan.chores:
                    chore(self)

    def _handle(self, event: Event) -> None:
        self.engine.handle(event)
        self.files.learn(event)
        if self.plan.replay is not None:
            self.plan.replay.judged(event, self.engine.waiting_since_ns)
        if isinstance(event, ProcessExecuted) and (process := self.tree.get(event.process)) is not None:
            self._hash_new(process)
        if isinstance(event, FileChanged):
            self._orders.changed(event)
            self.libraries.remember(event)

    def _replay(self) -> None:
        for event in self.plan.replay.due(self.heartbeat) if self.plan.replay is not None else ():
            self._handle(event)

    def _start_threads(self, pipe_fd: int) -> list[threading.Thread]:
        jobs: list[tuple[str, Callable[[], None]]] = [
            ("pipe", partial(self._read_pipe, pipe_fd)),
            *((sensor.name, partial(self._run_sensor, sensor)) for sensor in self._sensors()),
        ]
        threads = [threading.Thread(target=job, name=f"outrider-{name}", daemon=True) for name, job in jobs]
        for thread in threads:
            thread.start()
        return threads

    def _read_pipe(self, pipe_fd: int) -> None:
        """The pipe ends when the supervisor says that it is over."""
        read_pipe(pipe_fd, self.intake.put, self.stop)
        self.stop.set()

    def _sensors(self) -> list[Sensor]:
        return [self.files, self.libraries, *([self.digests] if self.plan.takes_lists else ()), *self.plan.sensors]

    def _run_sensor(self, sensor: Sensor) -> None:
        """A sensor that cannot go on takes only itself away, and that is told."""
        try:
            sensor.run(self.intake.put, self.stop)
        except (Unavailable, OSError) as error:
            say(f"{sensor.name} cannot see: {error}", sensor=sensor.name)
            self.intake.put(SightLost(time.time_ns(), sensor.name, str(error)))

    def _new_drift(self, mnt_ns: int, started_ns: int, container_id: str) -> DriftRecord:
        sight_of = partial(self.files.sight, mnt_ns)
        earlier = self.earlier_drift(mnt_ns, container_id)
        if earlier is not None:
            return DriftRecord.restore(earlier, sight_of)
        return DriftRecord(self.plan.baseline_ns or started_ns, sight_of)

    def _follow(self, container: Container, process: Process) -> None:
        """Watch a container's files, and the directories its programs and scripts come from."""
        self.plan.on_program(self, container, process)
        if process.id.pid == 1 and container.mnt_ns not in self._places:
            return  # ECS's pause process: alone in its container, which nobody can write to
        if container.mnt_ns not in self._places:
            self._chores_due = True  # it has no name yet: ask now, an attack may be its next step
            for follower in self._followers():
                follower.look_again()
        places = self._places.setdefault(container.mnt_ns, set())
        wanted = {path.rpartition("/")[0] for path in _program_paths(process)} - places - {""}
        if (places and not wanted) or len(places) >= MAX_PLACES:
            return
        places |= wanted or {"/"}
        self.files.add_root(container.mnt_ns, process.id.pid, tuple(wanted), baseline_ns=container.drift.baseline_ns)

    def _hash_new(self, process: Process) -> None:
        """Have what a process runs read, where it may be new and the lists have digests."""
        if not self.world.intel.algorithms:
            return
        for file in (process.exe, process.script):
            drift = self.world.judge(file, process.mnt_ns) if file is not None and file.path else None
            if file is not None and drift is not None and (drift.verdict != "old" or drift.by_silence):
                self.digests.ask(process.id, file, process.mnt_ns, is_exe=file is process.exe)

    def _is_listed(self, digests: Mapping[str, str]) -> bool:
        listing = self.world.intel.of_file(digests, time.time_ns())
        return listing is not None and not listing.trusted

    def rebase(self) -> None:
        """The containers' creation became known: what changed since then is looked for from there."""
        for container in self.containers.all():
            living = self.tree.living(container.mnt_ns)
            if living and container.mnt_ns in self._places:
                self.files.add_root(container.mnt_ns, living[-1].id.pid, (), baseline_ns=container.drift.baseline_ns)

    def forget(self, containers: Iterable[Container]) -> None:
        """These ended long ago: nothing of them is held any more; in the engine's thread."""
        for container in containers:
            self.files.remove_root(container.mnt_ns)
            self._forget_places(container.mnt_ns)

    def _succeeded(self, container: Container) -> None:
        """A container has ended, and its number is given to another, which is to be watched and named as a new one."""
        self.engine.settle(container)
        self._forget_places(container.mnt_ns)

    def _unmounted(self, mnt_ns: int) -> None:
        self.intake.put(partial(self._forget_places, mnt_ns))

    def _forget_places(self, mnt_ns: int) -> None:
        """The container's file system went away: it is watched anew from its next program on."""
        self._places.pop(mnt_ns, None)
        self._build_ids.forget(mnt_ns)
        self.libraries.forget_root(mnt_ns)

    def _pids_of(self, mnt_ns: int) -> Iterable[int]:
        pids = [process.id.pid for process in self.tree.living(mnt_ns)]
        return [*pids, os.getpid()] if mnt_ns == self._shared_ns else pids

    def _running(self, mnt_ns: int) -> Iterable[tuple[int, int]]:
        return [(p.id.pid, p.script.ino if p.script is not None else 0) for p in self.tree.living(mnt_ns)]

    def _roots_of(self, pid: int, mnt_ns: int) -> Iterable[str]:
        others = [p for p in self._pids_of(mnt_ns) if p != pid][:4]
        return [root_of(p) for p in ([pid] if pid else []) + others]

    def _exit_libraries(self, event: ProcessExited, mnt_ns: int) -> list[LibraryLoaded]:
        process = self.tree.get(event.process)
        return self.libraries.at_exit(event, mnt_ns, process.exe if process is not None else None)

    def _want_libraries(self, wanted: bool) -> None:
        self.heartbeat[Slot.LIBRARIES_WANTED] = int(wanted)

    def _look(self, processes: Iterable[Process]) -> tuple[list[Held], Mapping[int, SocketFacts]]:
        return look_at(processes, self._find_sockets)

    def _find_sockets(self, inodes: Iterable[int], pids: Iterable[int]) -> Mapping[int, SocketFacts]:
        try:
            return self._sockets.find(inodes, pids)
        except (OSError, ProcessGone):
            return {}

    def _spoke_last(self, connection: SocketFacts, process: ProcessId) -> bool:
        try:
            return self._sockets.spoke_last(connection, process.pid)
        except OSError:
            return False

    def _has_heard(self, connection: SocketFacts, process: ProcessId) -> bool:
        try:
            return self._sockets.has_heard(connection, process.pid)
        except OSError:
            return True


def _say_scanned(mnt_ns: int, directories: int, unwatched: int) -> None:
    say("the files of a container are watched", mnt_ns=mnt_ns, directories=directories, left_out=unwatched)


def _program_paths(process: Process) -> list[str]:
    paths = [process.exe.path] if process.exe.path.startswith("/") and process.exe.nlink else []
    return [*paths, process.script.path] if process.script is not None else paths
