"""Stdio lineage: from a program's standard streams, through the channels between processes, to a remote end.

A reverse shell is a shell whose commands come over a connection and whose answers go back over it. Only the
simplest ones have that connection as descriptors 0 and 1. The others put something between:

    nc -e sh          shell 0,1 = the socket itself                              `socket`
    python pty.spawn  shell 0,1 = pty slave;  python holds the master and the socket      `pty`
    sh <fifo | nc >fifo   shell 0 = fifo, 1 = pipe;  nc holds both other ends and the socket   `pipe-through-relay`
    socat EXEC:sh     shell 0,1 = a UNIX socket pair;  socat holds the peer and the socket     `pipe-through-relay`
    CI runner | bash  shell 0,1 = pipes;  a busy program has the other ends and some connection   `pipe-near-socket`

What tells a relay from a busy program: a relay's own standard streams are the channel (nc, telnet, openssl in a
pipeline), or it has nothing at all but the channel and one connection (socat). A program that feeds a shell a
script by pipe and happens to have a connection also looks like the second kind, for the moment until it closes the
pipe: that is why such a tie must have lasted (`persisted`) before it counts as a relay.

Both ways must lead to the remote: commands in, answers out. A program that logs to a socket has only the second,
a health check by /dev/tcp only the first.

Pure: descriptors in, a tie out. Who reads the descriptors is no concern of this file.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from outrider_wire.events import Descriptor, Direction, ProcessId, SocketFacts, Tie

MAX_STEPS: Final = 4
"""Most processes between a shell and the connection that feeds it."""
MAX_RELAY_EXTRAS: Final = 4
"""Most other open files of a process that still counts as having nothing but the connection and the channel."""

TERMINAL_PREFIXES: Final = ("/dev/pts/", "/dev/tty", "/dev/console")


class Held(Struct, frozen=True, gc=False):
    """What a process holds open.

    `mnt_ns` tells pty instances apart where the device number does not. `parent` tells whose a connection is that
    both have: a child has it from its parent.
    """

    process: ProcessId
    descriptors: tuple[Descriptor, ...]
    mnt_ns: int = 0
    parent: ProcessId | None = None
    exempt: bool = False
    """Its own connection is known to be a session of the operator's (such as ECS Exec): leads nowhere remote."""


class Link(Struct, frozen=True, gc=False):
    """The remote end that one stream leads to, and how."""

    tie: Tie
    connection: SocketFacts
    holder: ProcessId | None
    via: tuple[str, ...]
    certain: bool = True
    """False where only time can tell a relay from a busy program."""


class FoundTie(Struct, frozen=True, gc=False):
    """Both streams of a shell lead to the same remote end. Not `certain`: a later look may make it a relay."""

    tie: Tie
    connection: SocketFacts
    holder: ProcessId | None
    via: tuple[str, ...]
    certain: bool = True


class Graph:
    """Who holds what, for one look at the task: built from what was read of its processes."""

    def __init__(self, held: Sequence[Held], sockets: Mapping[int, SocketFacts]) -> None:
        self.sockets = sockets
        self._by_process = {h.process: h for h in held}
        self._writers = _index(held, _writable_channel)
        self._readers = _index(held, _readable_channel)
        self._sockets = _index(held, _socket_inode)
        self._masters = [(h, d) for h in held for d in h.descriptors if d.tty_index >= 0]

    def of(self, process: ProcessId) -> Held | None:
        """What that process holds, where it was read."""
        return self._by_process.get(process)

    def connection(self, descriptor: Descriptor) -> SocketFacts | None:
        """The connected TCP or UDP socket that a descriptor is, or None."""
        if not descriptor.target.startswith("socket:["):
            return None
        facts = self.sockets.get(descriptor.inode)
        return facts if facts is not None and facts.protocol != "unix" and facts.remote_port else None

    def is_listening(self, descriptor: Descriptor) -> bool:
        facts = self.sockets.get(descriptor.inode) if descriptor.target.startswith("socket:[") else None
        return facts is not None and facts.state == "LISTEN"

    def other_end(self, connection: SocketFacts) -> list[Held]:
        """Who in this task holds the other end of a connection, where that is here too."""
        here = (connection.remote, connection.remote_port, connection.local, connection.local_port)
        inodes = {
            inode
            for inode, s in self.sockets.items()
            if s.protocol == connection.protocol and (s.local, s.local_port, s.remote, s.remote_port) == here
        }
        return [holder for inode in inodes for holder in self._sockets.get((0, inode), [])]

    def leads_on(self, descriptor: Descriptor, *, feeding: bool) -> bool:
        """Whether commands may come, or answers go, through a descriptor that is no standard stream."""
        if descriptor.target.startswith("socket:["):
            facts = self.sockets.get(descriptor.inode)
            return facts is not None and facts.protocol == "unix" and facts.peer_inode != 0
        return (_readable_channel if feeding else _writable_channel)(descriptor) is not None

    def others(self, shell: Held, descriptor: Descriptor, *, feeding: bool) -> list[tuple[Held, str, str]]:
        """Processes at the other end of a channel: (holder, kind of channel, in words)."""
        target = descriptor.target
        if target.startswith(TERMINAL_PREFIXES):
            return [(h, "pty", f"{target} of pid {h.process.pid}") for h in self._master_holders(shell, descriptor)]
        if target.startswith("socket:["):
            peer = self.sockets.get(descriptor.inode)
            if peer is None or peer.protocol != "unix" or not peer.peer_inode:
                return []
            holders = self._sockets.get((0, peer.peer_inode), [])
            return [(h, "pair", f"socket pair with pid {h.process.pid}") for h in holders if h is not shell]
        ends = self._writers if feeding else self._readers
        name = "pipe" if target.startswith("pipe:[") else f"fifo {target}"
        way = "from" if feeding else "to"
        return [
            (h, "pipe", f"{name} {way} pid {h.process.pid}")
            for h in ends.get(_channel_key(descriptor) or (0, 0), [])
            if h.process != shell.process
        ]

    def _master_holders(self, shell: Held, slave: Descriptor) -> list[Held]:
        index = slave.target.rpartition("/")[2].partition(" ")[0]
        if not index.isdigit():
            return []
        number = int(index)
        return [
            h
            for h, master in self._masters
            if master.tty_index == number
            and (master.dev == slave.dev or h.mnt_ns == shell.mnt_ns)
            and h.process != shell.process
        ]


def find_tie(shell: Held, graph: Graph, *, persisted: bool = False) -> FoundTie | None:
    """Where both the commands and the answers of a shell lead, or None.

    `persisted`: the same look was taken a while ago with the same channels open.
    """
    streams = {d.fd: d for d in shell.descriptors}
    source = streams.get(0)
    if source is None:
        return None
    incoming = _follow(shell, source, graph, feeding=True, steps=MAX_STEPS, visited=frozenset())
    if incoming is None:
        return None
    outgoing = next(
        (
            link
            for fd in (1, 2)
            if fd in streams
            and (link := _follow(shell, streams[fd], graph, feeding=False, steps=MAX_STEPS, visited=frozenset()))
            and _same_remote(link.connection, incoming.connection)
        ),
        None,
    )
    if outgoing is None:
        return None
    weakest = max((incoming, outgoing), key=lambda link: _WEAKNESS[link.tie])
    tie = weakest.tie
    certain = incoming.certain or outgoing.certain or persisted or tie != "pipe-through-relay"
    if not certain:
        tie = "pipe-near-socket"
    via = tuple(dict.fromkeys(incoming.via + outgoing.via))
    return FoundTie(tie, incoming.connection, incoming.holder or outgoing.holder, via, certain)


def through_own_task(tie: FoundTie, graph: Graph) -> FoundTie | None:
    """Where a tie really leads whose other end is in this task as well: a loopback hop, as `ssh -R` makes one.

    The program at that end must do nothing but relay: one more connection, opened from here, and no listener.
    """
    for holder in graph.other_end(tie.connection):
        connections = [c for d in holder.descriptors if (c := graph.connection(d))]
        onward = [c for c in connections if c.direction != "inbound" and not _is_mirror(c, tie.connection)]
        if len(onward) != 1 or len(connections) > 2:
            continue
        hop = f"a connection within the task to pid {holder.process.pid}"
        return FoundTie("pipe-through-relay", onward[0], holder.process, (*tie.via, hop))
    return None


def _is_mirror(one: SocketFacts, other: SocketFacts) -> bool:
    return (one.local, one.local_port, one.remote, one.remote_port) == (
        other.remote,
        other.remote_port,
        other.local,
        other.local_port,
    )


def feeding_connection(shell: Held, graph: Graph) -> SocketFacts | None:
    """The connection that feeds a shell its commands, wherever its answers go."""
    source = next((d for d in shell.descriptors if d.fd == 0), None)
    if source is None:
        return None
    link = _follow(shell, source, graph, feeding=True, steps=MAX_STEPS, visited=frozenset())
    return link.connection if link is not None else None


_WEAKNESS: Final[dict[str, int]] = {"socket": 0, "pty": 1, "pipe-through-relay": 2, "pipe-near-socket": 3}


def _follow(
    end: Held, stream: Descriptor, graph: Graph, *, feeding: bool, steps: int, visited: frozenset[ProcessId]
) -> Link | None:
    """The remote end that one stream leads to: itself, or through the process at the channel's other end."""
    own = graph.connection(stream)
    if own is not None:
        return Link("socket", own, end.process, (f"descriptor {stream.fd} is the connection",))
    if steps == 0:
        return None
    best: Link | None = None
    for holder, channel, words in graph.others(end, stream, feeding=feeding):
        if holder.process in visited or holder.process == end.process or holder.exempt:
            continue
        link = _through(holder, end, channel, words, graph, feeding=feeding, steps=steps, visited=visited)
        if link is not None and (best is None or _WEAKNESS[link.tie] < _WEAKNESS[best.tie]):
            best = link
    return best


def _through(
    holder: Held,
    end: Held,
    channel: str,
    words: str,
    graph: Graph,
    *,
    feeding: bool,
    steps: int,
    visited: frozenset[ProcessId],
) -> Link | None:
    inherited = end.parent == holder.process  # what both have, the shell has from the holder
    shared = set() if inherited else {d.inode for d in end.descriptors if d.inode}
    connections = [c for d in holder.descriptors if (c := graph.connection(d))]
    unshared = [c for c in connections if c.inode not in shared]
    stream = next((d for d in holder.descriptors if d.fd == (0 if feeding else 1)), None)
    direct = graph.connection(stream) if stream is not None else None
    if direct is not None:  # `cat <&5 |`: its own standard stream is the connection
        return Link("pty" if channel == "pty" else "pipe-through-relay", direct, holder.process, (words,))
    if unshared:
        connection = _prefer_outbound(unshared)
        if channel == "pty":
            inbound = next((c for c in connections if c.direction == "inbound"), None)
            return Link("pty", inbound or connection, holder.process, (words,))
        standard = _channel_is_standard(holder, end)
        alone = _nothing_else(holder, end, graph)
        if alone or (standard and len(unshared) == 1 and not any(map(graph.is_listening, holder.descriptors))):
            certain = standard or channel == "pair"
            return Link("pipe-through-relay", connection, holder.process, (words,), certain=certain)
        return Link("pipe-near-socket", connection, holder.process, (words,))
    onward = _onward(holder, end, graph, feeding=feeding, steps=steps, visited=visited)
    if onward is None:
        return None
    tie: Tie = "pty" if channel == "pty" else "pipe-through-relay" if onward.tie == "socket" else onward.tie
    return Link(tie, onward.connection, onward.holder, (words, *onward.via), certain=onward.certain)


def _onward(
    holder: Held, end: Held, graph: Graph, *, feeding: bool, steps: int, visited: frozenset[ProcessId]
) -> Link | None:
    """Where a program without a connection has it from, or passes it to: `cat fifo |` opens the fifo itself."""
    seen = visited | {end.process, holder.process}
    first = 0 if feeding else 1
    for stream in sorted(holder.descriptors, key=lambda d: d.fd != first):
        if stream.fd == first or graph.leads_on(stream, feeding=feeding):
            onward = _follow(holder, stream, graph, feeding=feeding, steps=steps - 1, visited=seen)
            if onward is not None:
                return onward
    return None


def _channel_is_standard(holder: Held, end: Held) -> bool:
    """The channel between the two is a standard stream of the holder: it is a filter in a pipeline."""
    channels = {_channel_key(d) for d in end.descriptors if d.fd <= 2} - {None}
    return any(d.fd <= 1 and _channel_key(d) in channels for d in holder.descriptors)


def _nothing_else(holder: Held, end: Held, graph: Graph) -> bool:
    """The holder has nothing but one connection, its channels to the shell, an event loop, and a few odds and ends."""
    channels = {_channel_key(d) for d in end.descriptors if d.fd <= 2} - {None}
    pairs = {f.peer_inode for d in end.descriptors if (f := graph.sockets.get(d.inode)) and f.protocol == "unix"}
    connections: set[int] = set()
    extras = 0
    for descriptor in holder.descriptors:
        if graph.is_listening(descriptor):
            return False
        if descriptor.target.startswith("anon_inode:"):
            continue  # an event loop is no other business, and one eventfd must not hide a relay
        if graph.connection(descriptor):
            connections.add(descriptor.inode)
        elif not (_channel_key(descriptor) in channels or descriptor.inode in pairs or descriptor.fd <= 2):
            extras += 1
    return len(connections) == 1 and extras <= MAX_RELAY_EXTRAS


def _prefer_outbound(connections: Iterable[SocketFacts]) -> SocketFacts:
    return min(connections, key=lambda c: (c.direction != "outbound", c.inode))


def _same_remote(one: SocketFacts, other: SocketFacts) -> bool:
    """One connection, or two to one host: commands may come over the one and answers go over the other."""
    return one.inode == other.inode or one.remote == other.remote


def direction_of(connection: SocketFacts, seen: Direction) -> Direction:
    """Who opened a connection: what the packet tap saw, else what the ports say."""
    return seen if seen != "unknown" else connection.direction


_Key = tuple[int, int]


def _index(held: Sequence[Held], key_of: Callable[[Descriptor], _Key | None]) -> dict[_Key, list[Held]]:
    index: dict[_Key, list[Held]] = {}
    for holder in held:
        for key in {key for d in holder.descriptors if (key := key_of(d))}:
            index.setdefault(key, []).append(holder)
    return index


def _channel_key(descriptor: Descriptor) -> _Key | None:
    """What both ends of a pipe or fifo have in common; None for anything else."""
    if descriptor.target.startswith("pipe:["):
        return (0, descriptor.inode)
    return (descriptor.dev, descriptor.inode) if descriptor.fifo else None


def _writable_channel(descriptor: Descriptor) -> _Key | None:
    return _channel_key(descriptor) if "w" in descriptor.access else None


def _readable_channel(descriptor: Descriptor) -> _Key | None:
    return _channel_key(descriptor) if "r" in descriptor.access else None


def _socket_inode(descriptor: Descriptor) -> _Key | None:
    return (0, descriptor.inode) if descriptor.target.startswith("socket:[") else None
