"""Many network namespaces under one sensor: each told with its own number and owner, and given free at its end."""

import os
from contextlib import nullcontext

import pytest
from many_networks import CLIENT, LISTENER, until, watching

from outrider_sidecar.linux.netns import Member, entered, members, network_of, own_network
from outrider_sidecar.linux.procfs import namespace, read_stat
from outrider_sidecar.sensors.rounds import SHARE, Rounds
from outrider_wire.errors import ProcessGone
from outrider_wire.events import ConnectionOpened, NameQueried, NameResolved, ServerNamed, SightLost, SyscallMade


def test_three_namespaces_at_once_are_told_apart(fresh):
    """The same ports on loopback in three namespaces: each event has its network, its owner, and comes once."""
    rooms = [fresh(), fresh(), fresh()]
    servers = [room.python(LISTENER, "127.0.0.1", "5001") for room in rooms]
    with watching(*rooms) as seen:
        clients = [room.python(CLIENT, "127.0.0.1", "5001") for room in rooms]
        for room, client, server in zip(rooms, clients, servers, strict=True):
            net_ns, mnt_ns = network_of(room.pid), namespace(client.pid, "mnt")
            for answered in (False, True):
                here = {"net_ns": net_ns, "answered": answered, "destination_port": 5001}
                asked = seen.wait_for(ConnectionOpened, direction="outbound", **here)
                met = seen.wait_for(ConnectionOpened, direction="inbound", **here)
                assert (asked.owner, asked.attribution) == (read_stat(client.pid).process, "exact")
                assert asked.mnt_ns == met.mnt_ns == mnt_ns
                assert met.owner == read_stat(server.pid).process
        assert len(seen.all(ConnectionOpened)) == 3 * 4
    assert not seen.all(SightLost)


def test_a_connection_between_two_namespaces_is_told_once_in_each(wire):
    """Who sent the SYN sees it outbound in his network, the other inbound in hers."""
    wire.b.python(LISTENER, "10.77.0.2", "5011")
    with watching(wire.a, wire.b) as seen:
        client = wire.a.python(CLIENT, "10.77.0.2", "5011")
        asked = seen.wait_for(ConnectionOpened, net_ns=network_of(wire.a.pid), answered=True)
        met = seen.wait_for(ConnectionOpened, net_ns=network_of(wire.b.pid), answered=True)
        assert (asked.direction, asked.owner) == ("outbound", read_stat(client.pid).process)
        assert met.direction == "inbound"
        assert len(seen.all(ConnectionOpened, destination_port=5011)) == 4


def test_an_ended_namespace_is_given_free(fresh):
    """When its last process ends the taps are closed, and the kernel takes it down: its half of a pair goes."""
    room, other = fresh(), fresh()
    other.run("ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", str(room.pid))
    with watching() as seen:
        idle = len(os.listdir("/proc/self/fd"))
        for one in (room, other):
            seen.sensor.follow(network_of(one.pid), one.pid)
        until(lambda: len(seen.sensor.networks) == 2)
        net_ns = network_of(room.pid)
        room.close()
        until(lambda: net_ns not in seen.sensor.networks)
        until(lambda: other.run("ip", "link", "show", "near0", check=False).returncode != 0)
        other.close()
        until(lambda: not seen.sensor.networks)
        until(lambda: len(os.listdir("/proc/self/fd")) == idle)
    assert not seen.all(SightLost)


def test_a_namespace_lives_on_with_its_other_members(fresh):
    """The process by which it was met ends; another one takes its place, and what it does is seen."""
    room = fresh()
    first = room.python("print('here'); input()")
    with watching() as seen:
        seen.sensor.follow(network_of(room.pid), first.pid)
        until(lambda: seen.sensor.networks == {network_of(room.pid)})
        first.kill()
        first.wait()
        room.python(LISTENER, "127.0.0.1", "5021")
        room.python(CLIENT, "127.0.0.1", "5021")
        seen.wait_for(ConnectionOpened, net_ns=network_of(room.pid), answered=True)


def test_an_interface_that_comes_later_is_tapped_inside(wire):
    """The thread goes back into the namespace for it."""
    wire.a.run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1", "netns", str(wire.b.pid))
    try:
        with watching(wire.b) as seen:
            wire.a.run("ip", "link", "del", "late0")
            wire.a.run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1", "netns", str(wire.b.pid))
            for room, device, host in ((wire.a, "late0", 1), (wire.b, "late1", 2)):
                room.run("ip", "addr", "add", f"10.79.1.{host}/24", "dev", device)
                room.run("ip", "link", "set", device, "up")
            wire.a.python(LISTENER, "10.79.1.1", "5031")
            client = wire.b.python(CLIENT, "10.79.1.1", "5031")
            asked = seen.wait_for(ConnectionOpened, destination_port=5031)
            assert asked.owner == read_stat(client.pid).process
    finally:
        wire.a.run("ip", "link", "del", "late0", check=False)


def test_connections_from_before_the_tap_are_told_of_a_new_container(fresh):
    """They are in the kernel's list: told once, as answered, with their owners; of an older container they are not."""
    room = fresh()
    room.python(LISTENER, "127.0.0.1", "5041")
    client = room.python(CLIENT, "127.0.0.1", "5041")
    with watching(room, new=True) as seen:
        told = seen.wait_for(ConnectionOpened, direction="outbound")
        assert (told.answered, told.owner, told.destination_port) == (True, read_stat(client.pid).process, 5041)
        seen.wait_for(ConnectionOpened, direction="inbound")
        assert len(seen.all(ConnectionOpened)) == 2
    with watching(room) as seen:
        room.python(CLIENT, "127.0.0.1", "5041")
        seen.wait_for(ConnectionOpened, direction="inbound", answered=True)
        assert len(seen.all(ConnectionOpened)) == 4


def test_more_namespaces_than_the_bound_are_said_and_wait(fresh):
    """The one too many is a standing limit; it has its tap when another ends."""
    rooms = [fresh(), fresh()]
    with watching(rooms[0], limit=1) as seen:
        seen.sensor.follow(network_of(rooms[1].pid), rooms[1].pid)
        assert seen.wait_for(SightLost).standing
        assert seen.sensor.left == 1
        waiting = network_of(rooms[1].pid)
        rooms[0].close()
        until(lambda: seen.sensor.networks == {waiting})
        assert seen.sensor.left == 0


def test_what_cannot_be_opened_is_told(fresh, monkeypatch):
    """A network without a tap is a loss of sight, told once."""
    room = fresh()

    def refuse(*_, **__):
        raise OSError(1, "no")

    monkeypatch.setattr("outrider_sidecar.linux.packet.socket.socket", refuse)
    with watching(room, wait=False) as seen:
        lost = seen.wait_for(SightLost)
    assert not lost.standing
    assert str(room.pid) in lost.reason


def test_a_thread_comes_back_whatever_happens(fresh):
    """Also from an error inside; and a process of another network than was meant is not followed."""
    room, own = fresh(), own_network()
    with pytest.raises(KeyError), entered(room.pid) as inside:
        assert own_network() == inside == network_of(room.pid) != own
        raise KeyError
    assert own_network() == own
    with pytest.raises(ProcessGone), entered(room.pid, own):
        pass
    with pytest.raises(ProcessGone):
        Member(room.pid, own)
    with pytest.raises(ProcessGone), entered(2**22 + 1):
        pass
    assert list(members(network_of(room.pid))) == [room.pid]
    assert own_network() == own


ASK = """
import socket, ssl, sys
question = b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4pool\\7example\\0\\0\\1\\0\\1"
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.sendto(question, ("127.0.0.1", 53))
server.recv(512)
answer = b"\\x12\\x34\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + question[12:]
answer += b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\x0a\\1\\2\\3"
server.sendto(answer, asker.getsockname())
listener = socket.create_server(("127.0.0.1", 443))
wanted, out = ssl.MemoryBIO(), ssl.MemoryBIO()
hello = ssl.create_default_context().wrap_bio(wanted, out, server_hostname="c2.example")
try:
    hello.do_handshake()
except ssl.SSLWantReadError:
    pass
client = socket.create_connection(listener.getsockname())
client.sendall(out.read())
print("done")
sys.stdin.readline()
"""


def test_names_have_their_network_and_owner(fresh):
    """A question, its answer and a TLS server's name, in two namespaces: each once, each in its own."""
    rooms = [fresh(), fresh()]
    with watching(*rooms) as seen:
        for room in rooms:
            asker, net_ns = room.python(ASK), network_of(room.pid)
            question = seen.wait_for(NameQueried, net_ns=net_ns)
            assert (question.name, question.owner) == ("pool.example", read_stat(asker.pid).process)
            assert question.mnt_ns == namespace(asker.pid, "mnt")
            assert seen.wait_for(NameResolved, net_ns=net_ns).addresses == ("10.1.2.3",)
            named = seen.wait_for(ServerNamed, net_ns=net_ns)
            assert (named.name, named.owner) == ("c2.example", read_stat(asker.pid).process)
        for kind in (NameQueried, NameResolved, ServerNamed):
            assert len(seen.all(kind)) == 2


PEERED = """
import socket, sys
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
peered = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peered.connect(("127.0.0.1", int(sys.argv[1])))
print("made")
sys.stdin.readline()
"""


def test_sockets_that_no_packet_tells_of_are_found_in_each(fresh):
    """Packet sockets and UDP sockets with a peer, of an old namespace only what comes, of a new one all."""
    old, new = fresh(), fresh()
    old.python(PEERED, "9001")
    before = new.python(PEERED, "9002")
    with watching(old, sockets=True) as seen:
        seen.sensor.follow(network_of(new.pid), new.pid, new=True)
        told = seen.wait_for(ConnectionOpened, destination_port=9002)
        assert (told.net_ns, told.owner) == (network_of(new.pid), read_stat(before.pid).process)
        later = old.python(PEERED, "9003")
        told = seen.wait_for(ConnectionOpened, destination_port=9003)
        assert (told.net_ns, told.owner) == (network_of(old.pid), read_stat(later.pid).process)
        made = seen.wait_for(SyscallMade, process=read_stat(later.pid).process)
        assert made.mnt_ns == namespace(later.pid, "mnt")
        assert not seen.all(ConnectionOpened, destination_port=9001)


def test_without_taps_only_the_lists_are_read(fresh):
    """The switch for the packet tap holds here too."""
    room = fresh()
    with watching(room, sockets=True, taps=False) as seen:
        room.python(LISTENER, "127.0.0.1", "5051")
        room.python(CLIENT, "127.0.0.1", "5051")
        room.python(PEERED, "9011")
        seen.wait_for(ConnectionOpened, destination_port=9011)
        assert not seen.all(ConnectionOpened, protocol="tcp")


def test_looks_take_turns_and_a_share_of_a_core():
    """A look that took long is followed by a long pause; that each has its turn seldom is said once."""
    now_s, looked, told = [100.0], [], []

    class Looker:
        def __init__(self, number):
            self.number = number

        def begin(self, emit):
            pass

        def look(self, emit):
            looked.append(self.number)
            now_s[0] += 0.01

    rounds = Rounds(lambda _: nullcontext(), monotonic=lambda: now_s[0])
    assert rounds.wait_s() is None
    for number in (1, 2, 3):
        rounds.add(number, Looker(number), told.append, new=False)
    for _ in range(4):
        now_s[0] += rounds.wait_s()
        rounds.look(told.append)
        rounds.look(told.append)
    assert looked == [1, 2, 3, 1]
    assert now_s[0] - 100.0 >= 3 * 0.01 / SHARE
    assert [event.standing for event in told] == [True]
    rounds.remove(2)
    rounds.remove(9)
