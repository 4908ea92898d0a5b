"""The world: what the sidecar believes about the task. Events update it, and it works out further events of them.

It belongs to the engine's thread and does no input or output of its own: what it needs read comes as arguments.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from outrider_sidecar.intel import Intel
from outrider_sidecar.world.authors import infer_asker, infer_author
from outrider_sidecar.world.containers import Container, Containers
from outrider_sidecar.world.deductions import deduce_syscalls
from outrider_sidecar.world.drift import Drift
from outrider_sidecar.world.earlier import EarlierFiles
from outrider_sidecar.world.late import LateFacts, NothingLate
from outrider_sidecar.world.names import Names
from outrider_sidecar.world.networks import Networks
from outrider_sidecar.world.shells import Shells
from outrider_sidecar.world.ties import TieTracker
from outrider_sidecar.world.tree import Process, ProcessTree
from outrider_wire.events import (
    Attribution,
    ConnectionOpened,
    Event,
    FileChanged,
    FileFacts,
    FileHashed,
    LibraryLoaded,
    NameQueried,
    NameResolved,
    ProcessExecuted,
    ProcessExited,
    ProcessId,
    ProcessReleased,
    ProcessStarted,
    ServerNamed,
    SocketFacts,
    StdioTied,
    SyscallMade,
)
from outrider_wire.findings import TaskView

StartedAt = Callable[[ProcessId], int]
"""When a process began, in ns since the epoch, from its start ticks and CLOCK_BOOTTIME."""
LibrariesOf = Callable[[ProcessExecuted], list[LibraryLoaded]]
"""Libraries that a program was started with orders to load, as they lie in its container."""
NetworkOf = Callable[[int], int]
"""The network namespace of a process, by its pid; 0 where it is gone."""
NewLibrariesOf = Callable[[ProcessExited, int], list[LibraryLoaded]]
OnProgram = Callable[[Container, Process], None]
"""Called with each program that is started, and where: the file watch follows containers and their programs."""

SETTLED_AFTER_NS: Final = 200_000_000
"""A process that came from outside is in its own container by then: runc's first step changes namespaces (34 ms)."""
MAX_NEWCOMERS: Final = 256


class World:
    """Everything believed, and `apply`, which is the only way to change it."""

    def __init__(
        self,
        *,
        tree: ProcessTree,
        containers: Containers,
        shells: Shells,
        ties: TieTracker,
        intel: Intel,
        started_at: StartedAt,
        ordered_libraries: LibrariesOf,
        exit_libraries: NewLibrariesOf,
        on_program: OnProgram,
        network_of: NetworkOf = lambda _: 0,
        networks: Networks | None = None,
        late: LateFacts | None = None,
    ) -> None:
        self.tree = tree
        self.containers = containers
        self.shells = shells
        self.ties = ties
        self.intel = intel
        self.networks = networks if networks is not None else Networks(containers)
        self.names = Names()
        self.earlier = EarlierFiles()
        self.late: LateFacts = late if late is not None else NothingLate()
        self._newcomers: dict[ProcessId, tuple[int, str]] = {}
        self._started_at = started_at
        self._ordered_libraries = ordered_libraries
        self._exit_libraries = exit_libraries
        self._on_program = on_program
        self._network_of = network_of

    def apply(self, event: Event) -> list[Event]:
        """Take in one event; give back it, completed, and what follows from it, in order."""
        match event:
            case ProcessExecuted():
                return self._executed(event)
            case ProcessStarted():
                self._meet(self.tree.start(event), event.at_ns)
            case ProcessExited():
                return self._exited(event)
            case ProcessReleased():
                if (process := self.tree.get(event.process)) is not None:
                    process.released = event.reason
            case FileChanged():
                return self._changed(event)
            case LibraryLoaded() if self._is_own_program(event):
                return []
            case ConnectionOpened():
                self.ties.connected(event)
            case NameResolved():
                self.names.learn(event)
            case _:
                pass
        return [event]

    def tick(self, at_ns: int) -> list[Event]:
        """What time alone brings to light."""
        if self._newcomers:
            self._see_settled(at_ns)
        return list(self.ties.tick(at_ns))

    @property
    def restless(self) -> bool:
        """Whether `tick` has something to do soon."""
        return bool(self._newcomers) or self.ties.restless

    def guess_owner(self, event: Event) -> Event:
        """A question or a reading by nobody that was seen, with whoever most likely did it."""
        if isinstance(event, NameQueried) and event.owner is None:
            among_strangers = self.networks.among_strangers(event.net_ns)
            asker = infer_asker(self.tree, event, partial(self.may_be_of, event), by_name_alone=among_strangers)
            if asker is not None:
                return msgspec.structs.replace(event, owner=asker, attribution="inferred")
        return self._with_author(event) if isinstance(event, FileChanged) else event

    def actor_of(self, event: Event) -> Process | None:
        """The process that an event is of."""
        match event:
            case ConnectionOpened() | NameQueried() | ServerNamed():
                return self.tree.get(event.owner)
            case FileChanged():
                return self.tree.get(event.actor)
            case (
                ProcessExecuted()
                | ProcessStarted()
                | ProcessExited()
                | ProcessReleased()
                | LibraryLoaded()
                | StdioTied()
                | SyscallMade()
                | FileHashed()
            ):
                return self.tree.get(event.process)
            case _:
                return None

    def container_of(self, event: Event, process: Process | None) -> Container | None:
        """The container that an event is of: its process's, the one it names, or the only one in its network."""
        mnt_ns = process.mnt_ns if process is not None and process.mnt_ns else getattr(event, "mnt_ns", 0)
        return self.containers.get(mnt_ns) if mnt_ns else self.networks.container_of(getattr(event, "net_ns", 0))

    def task_of(self, event: Event, container: Container | None) -> TaskView | None:
        """The task that an event is of: its container's, else that of all containers in its network."""
        if container is None and self.containers.task is None:
            return self.networks.task_of(getattr(event, "net_ns", 0))
        return self.containers.task_of(container)

    def may_be_of(self, event: Event, process: Process) -> bool:
        """Whether a process may have been seen in the network of an event."""
        return self.networks.is_in(process.mnt_ns, getattr(event, "net_ns", 0))

    def attribution_of(self, event: Event) -> Attribution:
        """How the acting process of an event is known; events of a process itself are exact."""
        attribution: Attribution = getattr(event, "attribution", "exact")
        return attribution

    def began_ns(self, process: Process) -> int:
        """When a process began, in ns since the epoch."""
        return self._started_at(process.id) if process.seen != "exec" else process.started_at_ns

    def judge_exe(self, process: Process) -> Drift | None:
        """Whether the file a process runs is new in its container."""
        return self.judge(process.exe, process.mnt_ns) if process.exe.path else None

    def judge(self, file: FileFacts, mnt_ns: int) -> Drift | None:
        """Whether a file is new in a container; None for an unknown container."""
        container = self.containers.get(mnt_ns)
        return container.drift.judge(file) if container is not None else None

    def _meet(self, process: Process, at_ns: int, cgroup: str = "") -> None:
        """Note a process's container, but of a container runtime's own first step only once it has settled."""
        if process.entered and process.seen == "found":
            if len(self._newcomers) < MAX_NEWCOMERS:
                _, earlier = self._newcomers.get(process.id, (0, ""))
                self._newcomers[process.id] = (at_ns + SETTLED_AFTER_NS, cgroup or earlier)
            return
        _, earlier = self._newcomers.pop(process.id, (0, ""))
        self._see(process, at_ns, cgroup or earlier)

    def _see_settled(self, at_ns: int) -> None:
        due = [(process, cgroup) for process, (due_ns, cgroup) in self._newcomers.items() if due_ns <= at_ns]
        for process_id, cgroup in due:
            del self._newcomers[process_id]
            if (process := self.tree.get(process_id)) is not None and process.alive:
                self._see(process, at_ns, cgroup)

    def _see(self, process: Process, at_ns: int, cgroup: str = "") -> None:
        began_ns = self._started_at(process.id) if process.seen != "exec" else at_ns
        container = self.containers.see(process.mnt_ns, cgroup, at_ns, began_ns)
        if container is not None:
            container.meet(process)
            if not container.net_ns and process.alive:
                container.net_ns = self._network_of(process.id.pid)
            self._on_program(container, process)

    def _executed(self, event: ProcessExecuted) -> list[Event]:
        process = self.tree.execute(event)
        self._meet(process, event.at_ns, event.cgroup)
        follows: list[Event] = [*deduce_syscalls(event), *self._ordered_libraries(event)]
        return [event, *follows, *self.ties.executed(process, event.at_ns)]

    def _exited(self, event: ProcessExited) -> list[Event]:
        process = self.tree.exit(event)
        if process is None:
            return [event]
        loaded = [one for one in self._exit_libraries(event, process.mnt_ns) if not self._is_own_program(one)]
        return [event, *loaded, *self.ties.exited(process, event.at_ns)]

    def _is_own_program(self, event: LibraryLoaded) -> bool:
        """What ld.so was asked to run is mapped as a library is, and was judged as a program."""
        process = self.tree.get(event.process)
        if process is None or process.script is None or event.how != "mapped":
            return False
        program, library = process.script, event.library
        return program.path == library.path or (program.ino == library.ino != 0)

    def _changed(self, event: FileChanged) -> list[Event]:
        if event.change != "opened":  # who reads is looked for later: nothing else waits for it
            event = self._with_author(event)
        container = self.containers.get(event.mnt_ns)
        if container is not None:
            container.drift.observe(event)
        self.earlier.note(event)
        return [event]

    def _with_author(self, event: FileChanged) -> FileChanged:
        if event.actor is None and (author := infer_author(self.tree, event)) is not None:
            return msgspec.structs.replace(event, actor=author, attribution="inferred")
        return event


def same_connection(event: ConnectionOpened, socket: SocketFacts) -> bool:
    """Whether a socket is our end of a connection."""
    source = (event.source, event.source_port)
    destination = (event.destination, event.destination_port)
    ours = (socket.local, socket.local_port)
    theirs = (socket.remote, socket.remote_port)
    return (ours, theirs) == ((destination, source) if event.direction == "inbound" else (source, destination))
