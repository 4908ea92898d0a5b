"""Connections as the packet sensor sees them, in network namespaces of their own."""

import pytest

from outrider_sidecar.linux.procfs import read_stat
from outrider_wire.events import ConnectionOpened, SightLost

SERVER = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family, backlog=64)
print("ready")
while True:
    peer, _ = server.accept()
    sys.stdin.readline()
    peer.close()
"""
CLIENT = """
import socket, sys
client = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print(client.getsockname()[1])
sys.stdin.readline()
"""
PATIENT_CLIENT = """
import socket, sys
client = socket.socket()
client.setblocking(False)
client.connect_ex((sys.argv[1], int(sys.argv[2])))
print("asked")
sys.stdin.readline()
"""


def is_to(port, **wanted):
    def matches(event):
        return event.destination_port == port and all(getattr(event, name) == value for name, value in wanted.items())

    return matches


@pytest.mark.parametrize(("near", "far", "port"), [("10.77.0.1", "10.77.0.2", 4001), ("fd77::1", "fd77::2", 4002)])
def test_a_connection_is_seen_at_both_hosts_with_its_owner(wire, near, far, port):
    """The side that sends the SYN sees it outbound and owns it; the other sees it inbound, owned by the listener."""
    server = wire.b.python(SERVER, far, str(port))
    with wire.a.watch() as at_a, wire.b.watch() as at_b:
        client = wire.a.python(CLIENT, far, str(port))
        asked = at_a.wait_for(ConnectionOpened, is_to(port, answered=False))
        answered = at_a.wait_for(ConnectionOpened, is_to(port, answered=True))
        arrived = at_b.wait_for(ConnectionOpened, is_to(port, answered=True))
    assert (asked.source, asked.destination, asked.direction) == (near, far, "outbound")
    assert (asked.owner, asked.attribution) == (read_stat(client.pid).process, "exact")
    assert asked.socket_inode
    assert (answered.source, answered.owner) == (near, asked.owner)
    assert (arrived.source, arrived.direction) == (near, "inbound")
    assert arrived.attribution in ("exact", "inferred")  # accepted already, or only listened for
    assert arrived.owner == read_stat(server.pid).process


@pytest.mark.parametrize(("address", "port"), [("127.0.0.1", 4011), ("::1", 4012)])
def test_a_loopback_connection_is_told_once_for_each_end(wire, address, port):
    """Both ends are local: one outbound and one inbound event, at the SYN and at the SYN-ACK, and no more."""
    server = wire.a.python(SERVER, address, str(port))
    with wire.a.watch() as seen:
        client = wire.a.python(CLIENT, address, str(port))
        seen.wait_for(ConnectionOpened, is_to(port, answered=True, direction="inbound"))
        another = wire.a.python(CLIENT, address, str(port))
        seen.wait_for(ConnectionOpened, lambda event: event.owner == read_stat(another.pid).process and event.answered)
        first = [event for event in seen.all(ConnectionOpened) if event.source_port == seen.events[0].source_port]
    assert [(event.direction, event.answered) for event in first] == [
        ("outbound", False),
        ("inbound", False),
        ("outbound", True),
        ("inbound", True),
    ]
    assert {event.owner.pid for event in first if event.direction == "outbound"} == {client.pid}
    assert {event.owner.pid for event in first if event.direction == "inbound"} == {server.pid}


def test_a_syn_that_is_sent_again_is_not_told_again(wire):
    """The kernel repeats an unanswered SYN after a second; the attempt stays one event."""
    wire.a.run("ip", "route", "replace", "10.78.0.0/24", "via", "10.77.0.2")  # b does not route, and drops it
    with wire.a.watch() as seen:
        client = wire.a.python(PATIENT_CLIENT, "10.78.0.9", "4021")
        asked = seen.wait_for(ConnectionOpened, is_to(4021))
        syns = seen.sensor.counts.seen
        wire.wait_until(lambda: seen.sensor.counts.seen > syns, deadline_s=5)
        events = [event for event in seen.all(ConnectionOpened) if event.destination_port == 4021]
    assert events == [asked]
    assert (asked.answered, asked.direction, asked.owner) == (False, "outbound", read_stat(client.pid).process)


def test_a_link_local_connection_has_its_owner(wire):
    """A link-local socket is bound to its interface; the look-up names the interface the packet was seen on."""
    listed = wire.b.run("ip", "-6", "-o", "addr", "show", "dev", "b0", "scope", "link").stdout
    address = listed.split()[3].partition("/")[0]
    server = wire.b.python(SERVER, "::", "4031")
    with wire.a.watch() as at_a, wire.b.watch() as at_b:
        client = wire.a.python(CLIENT, f"{address}%a0", "4031")
        asked = at_a.wait_for(ConnectionOpened, is_to(4031))
        arrived = at_b.wait_for(ConnectionOpened, is_to(4031))
    assert (asked.direction, asked.owner) == ("outbound", read_stat(client.pid).process)
    assert (arrived.direction, arrived.owner) == ("inbound", read_stat(server.pid).process)


def test_extension_headers_do_not_hide_a_syn(wire):
    """A program may put IPv6 destination options before its SYN; the filter passes them to be walked."""
    wire.b.python(SERVER, "fd77::2", "4041")
    program = CLIENT.replace(
        "client = socket.create_connection((sys.argv[1], int(sys.argv[2])))",
        "client = socket.socket(socket.AF_INET6)\n"
        "client.setsockopt(socket.IPPROTO_IPV6, 59, bytes([0, 0, 1, 4, 0, 0, 0, 0]))\n"  # IPV6_DSTOPTS, a PadN
        "client.connect((sys.argv[1], int(sys.argv[2])))",
    )
    with wire.a.watch() as seen:
        client = wire.a.python(program, "fd77::2", "4041")
        asked = seen.wait_for(ConnectionOpened, is_to(4041))
    assert asked.owner == read_stat(client.pid).process


def test_an_address_that_comes_later_is_known_as_local(wire):
    """Addresses may be added while the sensor runs; their connections have a direction at once."""
    wire.b.python(SERVER, "10.77.0.2", "4051")
    with wire.a.watch() as seen:
        wire.a.run("ip", "addr", "add", "10.77.0.91/24", "dev", "a0")
        program = CLIENT.replace("int(sys.argv[2])))", "int(sys.argv[2])), source_address=('10.77.0.91', 0))")
        wire.a.python(program, "10.77.0.2", "4051")
        asked = seen.wait_for(ConnectionOpened, is_to(4051))
        wire.a.run("ip", "addr", "del", "10.77.0.91/24", "dev", "a0")
    assert (asked.source, asked.direction) == ("10.77.0.91", "outbound")


def test_ordinary_data_stays_in_the_kernel(wire):
    """Of a connection that carries a megabyte the filter passes the SYN and the SYN-ACK alone."""
    sender = """
import socket, sys
server = socket.create_server(("127.0.0.1", 4061))
print("ready")
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
for _ in range(64):
    client.sendall(b"x" * 16384)
    left = 16384
    while left:
        left -= len(peer.recv(left))
print("sent")
sys.stdin.readline()
"""
    with wire.a.watch() as seen:
        process = wire.a.python(sender)
        assert process.stdout.readline() == "sent\n"
        seen.wait_for(ConnectionOpened, is_to(4061, answered=True, direction="inbound"))
        assert seen.sensor.counts.seen == 2


def test_traffic_of_an_ignored_process_is_not_told(wire):
    """What the predicate names makes no event; what comes after it from others does."""
    wire.b.python(SERVER, "10.77.0.2", "4071")
    waiting = "import sys\nprint('ready')\nsys.stdin.readline()\n" + CLIENT
    ignored = wire.a.python(waiting, "10.77.0.2", "4071")
    with wire.a.watch(ignore=lambda pid: pid == ignored.pid) as seen:
        ignored.stdin.write("go\n")
        ignored.stdin.flush()
        ignored.stdout.readline()
        other = wire.a.python(CLIENT, "10.77.0.2", "4071")
        told = seen.wait_for(ConnectionOpened, is_to(4071))
        assert seen.sensor.counts.seen >= 3
    assert told.owner == read_stat(other.pid).process


def test_packets_that_did_not_fit_are_counted_and_told(wire):
    """A buffer that overflows before it is read gives one SightLost with the number of packets."""
    flood = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(2000):
    try:
        sender.sendto(b"x" * 600, ("127.0.0.1", 53))
    except ConnectionRefusedError:
        pass
print("sent")
"""
    with wire.a.watch(buffer_bytes=16384, before_run=lambda: wire.a.run("python3", "-c", flood)) as seen:
        lost = seen.wait_for(SightLost)
        assert seen.sensor.lost == lost.lost
        wire.wait_until(lambda: seen.sensor.counts.seen + seen.sensor.lost >= 2000)
    assert lost.sense == "network"
    assert lost.lost > 1000
