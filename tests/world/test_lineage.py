"""Stdio lineage on descriptors written by hand: every kind of tie, and as many near misses."""

import pytest

from outrider_sidecar.world.lineage import FoundTie, Graph, Held, feeding_connection, find_tie, through_own_task
from outrider_wire.events import Descriptor, ProcessId, SocketFacts

ATTACKER = ("203.0.113.9", 4444)


def pid(number: int) -> ProcessId:
    return ProcessId(number, number * 10)


def tcp(inode: int, *, direction="outbound", remote=ATTACKER, state="ESTABLISHED") -> SocketFacts:
    return SocketFacts(
        inode=inode,
        protocol="tcp",
        local="10.0.0.2",
        local_port=50_000 + inode,
        remote=remote[0],
        remote_port=remote[1],
        state=state,
        direction=direction,
    )


def listener(inode: int) -> SocketFacts:
    return SocketFacts(inode=inode, protocol="tcp", local="0.0.0.0", local_port=80, state="LISTEN")


def pair(inode: int, peer: int) -> SocketFacts:
    return SocketFacts(inode=inode, protocol="unix", peer_inode=peer)


def sock(fd: int, inode: int) -> Descriptor:
    return Descriptor(fd, f"socket:[{inode}]", inode=inode, access="rw")


def pipe(fd: int, inode: int, access: str) -> Descriptor:
    return Descriptor(fd, f"pipe:[{inode}]", inode=inode, access=access)


def fifo(fd: int, path: str, inode: int, access: str) -> Descriptor:
    return Descriptor(fd, path, inode=inode, dev=5, access=access, fifo=True)


def slave(fd: int, number: int, dev: int = 7) -> Descriptor:
    return Descriptor(fd, f"/dev/pts/{number}", inode=number + 3, dev=dev, access="rw")


def master(fd: int, number: int, dev: int = 7) -> Descriptor:
    return Descriptor(fd, "/dev/pts/ptmx", inode=2, dev=dev, access="rw", tty_index=number)


def null(fd: int) -> Descriptor:
    return Descriptor(fd, "/dev/null", inode=4, dev=6, access="rw")


def anon(fd: int) -> Descriptor:
    return Descriptor(fd, "anon_inode:[eventpoll]", inode=9, dev=13, access="rw")


def file(fd: int, path: str, inode: int, access: str = "w") -> Descriptor:
    return Descriptor(fd, path, inode=inode, dev=5, access=access)


def tie_of(held: dict[int, tuple[Descriptor, ...]], sockets: list[SocketFacts], **kw) -> FoundTie | None:
    """The tie of process 1, given what each process holds."""
    all_held = [Held(pid(number), descriptors, mnt_ns=1) for number, descriptors in held.items()]
    graph = Graph(all_held, {s.inode: s for s in sockets})
    return find_tie(all_held[0], graph, **kw)


HITS = {
    "socket on all three": ("socket", {1: (sock(0, 71), sock(1, 71), sock(2, 71))}, [tcp(71)]),
    "socket, answers on stderr alone": ("socket", {1: (sock(0, 71), null(1), sock(2, 71))}, [tcp(71)]),
    "two connections to one remote end": ("socket", {1: (sock(0, 71), sock(1, 72))}, [tcp(71), tcp(72)]),
    "pty with the socket beside the master": (
        "pty",
        {1: (slave(0, 3), slave(1, 3), slave(2, 3)), 2: (sock(0, 71), sock(1, 71), master(3, 3))},
        [tcp(71)],
    ),
    "pty whose holder is busy": (
        "pty",
        {1: (slave(0, 3), slave(1, 3)), 2: (null(0), sock(3, 71), sock(4, 72), anon(5), master(6, 3))},
        [tcp(71), tcp(72)],
    ),
    "fifo and pipe with nc": (
        "pipe-through-relay",
        {
            1: (fifo(0, "/tmp/f", 40, "r"), pipe(1, 50, "w")),
            2: (pipe(0, 50, "r"), fifo(1, "/tmp/f", 40, "w"), sock(3, 71)),
        },
        [tcp(71)],
    ),
    "cat between fifo and shell": (
        "pipe-through-relay",
        {
            1: (pipe(0, 51, "r"), pipe(1, 50, "w")),
            2: (fifo(0, "/tmp/f", 40, "r"), pipe(1, 51, "w")),
            3: (pipe(0, 50, "r"), fifo(1, "/tmp/f", 40, "w"), sock(3, 71)),
        },
        [tcp(71)],
    ),
    "cat that opened the fifo itself": (
        "pipe-through-relay",
        {
            1: (pipe(0, 51, "r"), pipe(1, 50, "w")),
            2: (null(0), pipe(1, 51, "w"), fifo(3, "/tmp/f", 40, "r")),
            3: (pipe(0, 50, "r"), fifo(1, "/tmp/f", 40, "w"), sock(3, 71)),
        },
        [tcp(71)],
    ),
    "openssl with a file open": (
        "pipe-through-relay",
        {
            1: (fifo(0, "/tmp/s", 40, "r"), pipe(1, 50, "w")),
            2: (pipe(0, 50, "r"), fifo(1, "/tmp/s", 40, "w"), null(2), sock(3, 71), file(4, "/etc/ssl/x.pem", 9, "r")),
        },
        [tcp(71)],
    ),
    "socket pair with socat": (
        "pipe-through-relay",
        {1: (sock(0, 81), sock(1, 81)), 2: (null(0), sock(5, 71), sock(6, 82))},
        [tcp(71), pair(81, 82), pair(82, 81)],
    ),
    "two pipes with a bare relay that lasted": (
        "pipe-through-relay",
        {
            1: (pipe(0, 50, "r"), pipe(1, 51, "w")),
            2: (null(0), null(1), sock(3, 71), pipe(4, 50, "w"), pipe(5, 51, "r")),
        },
        [tcp(71)],
    ),
    "an event loop of its own hides no relay": (
        "pipe-through-relay",
        {
            1: (pipe(0, 50, "r"), pipe(1, 51, "w")),
            2: (null(0), null(1), sock(3, 71), pipe(4, 50, "w"), pipe(5, 51, "r"), anon(6), anon(7)),
        },
        [tcp(71)],
    ),
    "two connections to one host": (
        "pipe-through-relay",
        {
            1: (pipe(0, 50, "r"), pipe(1, 51, "w")),
            2: (null(0), pipe(1, 50, "w"), sock(3, 71)),
            3: (pipe(0, 51, "r"), null(1), sock(3, 72)),
        },
        [tcp(71), tcp(72, remote=(ATTACKER[0], 4445))],
    ),
    "a second program behind a UNIX socket": (
        "pipe-through-relay",
        {
            1: (sock(0, 81), sock(1, 81)),
            2: (null(0), null(1), sock(5, 82), sock(6, 83)),
            3: (null(0), null(1), sock(5, 84), sock(6, 71)),
        },
        [tcp(71), pair(81, 82), pair(82, 81), pair(83, 84), pair(84, 83)],
    ),
    "two pipes with a busy program": (
        "pipe-near-socket",
        {
            1: (pipe(0, 50, "r"), pipe(1, 51, "w")),
            2: (null(0), anon(3), sock(4, 71), sock(5, 72), pipe(6, 50, "w"), pipe(7, 51, "r")),
        },
        [tcp(71), tcp(72, remote=("203.0.113.10", 443))],
    ),
}

MISSES = {
    "terminal of nobody here": ({1: (slave(0, 3), slave(1, 3), slave(2, 3))}, []),
    "terminal whose holder has no connection": ({1: (slave(0, 3), slave(1, 3)), 2: (null(0), master(3, 3))}, []),
    "another devpts instance with the same index": (
        {1: (slave(0, 3), slave(1, 3))},
        [tcp(71)],
    ),
    "logs to a socket": ({1: (null(0), sock(1, 71), sock(2, 71))}, [tcp(71)]),
    "health check reads from a socket": ({1: (sock(0, 71), null(1), null(2))}, [tcp(71)]),
    "health check on a high descriptor": ({1: (null(0), null(1), sock(3, 71))}, [tcp(71)]),
    "commands from a file, log to the net": ({1: (file(0, "/s.sh", 3, "r"), sock(1, 71))}, [tcp(71)]),
    "fed by pipe, answers kept": (
        {1: (pipe(0, 50, "r"), null(1), null(2)), 2: (sock(3, 71), pipe(4, 50, "w"))},
        [tcp(71)],
    ),
    "answers go out, commands come from a program without a connection": (
        {1: (pipe(0, 50, "r"), pipe(1, 51, "w")), 2: (pipe(4, 50, "w"),), 3: (sock(3, 71), pipe(0, 51, "r"))},
        [tcp(71)],
    ),
    "piped in and out of a program with none": (
        {1: (pipe(0, 50, "r"), pipe(1, 51, "w")), 2: (pipe(4, 50, "w"), pipe(5, 51, "r"), file(6, "/x", 8))},
        [],
    ),
    "two ends, two remotes": (
        {1: (sock(0, 71), sock(1, 72))},
        [tcp(71), tcp(72, remote=("203.0.113.10", 80))],
    ),
    "pipe whose other end a sibling only reads": (
        {1: (pipe(0, 50, "r"), pipe(1, 51, "w")), 2: (sock(3, 71), pipe(0, 50, "r"))},
        [tcp(71)],
    ),
    "not connected yet": ({1: (sock(0, 71), sock(1, 71))}, [SocketFacts(inode=71, protocol="tcp", state="CLOSE")]),
    "closed standard streams": ({1: ()}, []),
}


@pytest.mark.parametrize("name", HITS)
def test_every_kind_of_tie_is_found(name):
    """A shell whose two streams lead to one remote end is tied, and the kind of tie is told."""
    kind, held, sockets = HITS[name]
    found = tie_of(held, sockets, persisted=True)
    assert found is not None
    assert found.tie == kind
    assert (found.connection.remote, found.connection.remote_port) == ATTACKER
    assert found.via


@pytest.mark.parametrize("name", MISSES)
def test_ordinary_plumbing_is_no_tie(name):
    """One stream alone, terminals, files and other people's connections tie nothing."""
    held, sockets = MISSES[name]
    assert tie_of(held, sockets, persisted=True) is None


def test_a_program_that_fed_a_script_by_pipe_is_no_relay_until_it_lasted():
    """A bare relay on pipes is uncertain at first: a CI runner looks the same until it closes the pipe."""
    _, held, sockets = HITS["two pipes with a bare relay that lasted"]
    found = tie_of(held, sockets, persisted=False)
    assert found is not None
    assert (found.tie, found.certain) == ("pipe-near-socket", False)


def test_a_pty_of_another_mount_namespace_and_device_is_not_matched():
    """Pty indexes repeat in each devpts instance: only device and index together, or the namespace, make a pair."""
    shell = Held(pid(1), (slave(0, 3), slave(1, 3)), mnt_ns=1)
    other = Held(pid(2), (master(5, 3, dev=99), sock(6, 71)), mnt_ns=2)
    assert find_tie(shell, Graph([shell, other], {71: tcp(71)})) is None


def test_an_operators_session_leads_nowhere_remote():
    """A holder that is exempt, as ECS Exec's agent is, ends the search."""
    shell = Held(pid(1), (slave(0, 3), slave(1, 3)), mnt_ns=1)
    agent = Held(pid(2), (master(5, 3), sock(6, 71)), mnt_ns=1, exempt=True)
    assert find_tie(shell, Graph([shell, agent], {71: tcp(71)})) is None


def test_an_inbound_session_is_told_as_inbound():
    """sshd's terminal is a tie too, and its direction says that we did not open it."""
    shell = Held(pid(1), (slave(0, 3), slave(1, 3)), mnt_ns=1)
    sshd = Held(pid(2), (null(0), sock(4, 71), sock(5, 72), master(6, 3)), mnt_ns=1)
    outbound = tcp(72, remote=("203.0.113.10", 88))
    found = find_tie(shell, Graph([shell, sshd], {71: tcp(71, direction="inbound"), 72: outbound}))
    assert found is not None
    assert found.connection.direction == "inbound"


def test_what_feeds_a_shell_is_found_whatever_becomes_of_its_answers():
    """`cat <&5 | while read` feeds a shell from a connection that cat has as its standard input."""
    shell = Held(pid(1), (pipe(0, 50, "r"), null(1), sock(5, 71)), mnt_ns=1)
    cat = Held(pid(2), (sock(0, 71), pipe(1, 50, "w"), sock(5, 71)), mnt_ns=1)
    found = feeding_connection(shell, Graph([shell, cat], {71: tcp(71)}))
    assert found is not None
    assert found.inode == 71


def test_a_connection_the_shell_inherited_is_its_parents():
    """ncat leaves its connection open in the shell it starts: what both have is the parent's."""
    shell = Held(pid(1), (pipe(0, 50, "r"), pipe(1, 51, "w"), sock(3, 71)), mnt_ns=1, parent=pid(2))
    ncat = Held(pid(2), (null(0), null(1), sock(3, 71), pipe(5, 50, "w"), pipe(6, 51, "r")), mnt_ns=1)
    found = find_tie(shell, Graph([shell, ncat], {71: tcp(71)}), persisted=True)
    assert found is not None
    assert found.tie == "pipe-through-relay"


def test_a_child_that_inherited_the_shells_connection_is_no_relay():
    """`tail -f log | while read line; do echo $line >&3; done`: tail has the log connection from the shell."""
    shell = Held(pid(1), (pipe(0, 50, "r"), null(1), sock(3, 71)), mnt_ns=1)
    tail = Held(pid(2), (null(0), pipe(1, 50, "w"), sock(3, 71), file(4, "/log", 8, "r")), mnt_ns=1, parent=pid(1))
    assert find_tie(shell, Graph([shell, tail], {71: tcp(71)}), persisted=True) is None


def loopback(inode: int, local_port: int, remote_port: int, direction: str) -> SocketFacts:
    return SocketFacts(inode, "tcp", "127.0.0.1", local_port, "127.0.0.1", remote_port, "ESTABLISHED", 0, direction)


def test_a_hop_within_the_task_is_followed_outwards():
    """A shell served on loopback to a program whose other connection leads out is tied to where that leads."""
    shell = Held(pid(1), (sock(0, 61), sock(1, 61)), mnt_ns=1)
    hop = Held(pid(2), (null(0), sock(5, 62), sock(6, 71)), mnt_ns=1)
    served = loopback(61, 7777, 50_001, "inbound")
    graph = Graph([shell, hop], {61: served, 62: loopback(62, 50_001, 7777, "outbound"), 71: tcp(71)})
    tie = find_tie(shell, graph)
    assert tie is not None
    onward = through_own_task(tie, graph)
    assert onward is not None
    assert (onward.connection.remote, onward.connection.remote_port) == ATTACKER


def test_a_local_client_that_leads_nowhere_is_no_hop():
    """A program of the task that uses a shell service on loopback, and a busy one, lead nowhere."""
    shell = Held(pid(1), (sock(0, 61), sock(1, 61)), mnt_ns=1)
    served = loopback(61, 7777, 50_001, "inbound")
    client = loopback(62, 50_001, 7777, "outbound")
    for more in ((), (sock(6, 71), sock(7, 72))):
        holder = Held(pid(2), (null(0), sock(5, 62), *more), mnt_ns=1)
        graph = Graph([shell, holder], {61: served, 62: client, 71: tcp(71), 72: tcp(72)})
        tie = find_tie(shell, graph)
        assert tie is not None
        assert through_own_task(tie, graph) is None


def test_channels_in_a_circle_end():
    """Two programs that feed each other make the search end, not spin."""
    shell = Held(pid(1), (pipe(0, 50, "r"), pipe(1, 51, "w")), mnt_ns=1)
    loop = Held(pid(2), (pipe(0, 51, "r"), pipe(1, 50, "w")), mnt_ns=1)
    assert find_tie(shell, Graph([shell, loop], {})) is None
