"""The taps of a network namespace: what each interface shows, once; interfaces that come and go; the filter's ways."""

import itertools
import resource
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from outrider_sidecar.linux.addresses import LocalAddresses
from outrider_sidecar.linux.packet import EVERYWHERE, LOOPBACK, PacketTap
from outrider_sidecar.sensors.taps import MAX_TAPS, Taps
from outrider_wire.events import ConnectionOpened

LISTENER = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready")
sys.stdin.readline()
"""
CLIENT = """
import socket, sys
client = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print(client.getsockname()[1])
sys.stdin.readline()
"""
HELLO = b"\x16\x03\x01\x02\x00\x01" + bytes(50)


def in_namespace(namespace, work):
    """Do something in a thread inside the namespace; what it returned or raised."""
    with ThreadPoolExecutor(1, initializer=namespace.enter) as executor:
        return executor.submit(work).result()


def received(tap, number, *, deadline_s=5.0):
    """So many packets of a tap, and those that came with them."""
    packets, end = [], time.monotonic() + deadline_s
    while len(packets) < number and time.monotonic() < end:
        packets += iter(tap.receive, None)
    return packets


def ask(address, number, *, family=socket.AF_INET):
    """Send numbered datagrams to port 53."""
    with socket.socket(family, socket.SOCK_DGRAM) as sender, socket.socket(family, socket.SOCK_DGRAM) as server:
        if address in ("127.0.0.2", "::1"):
            server.bind((address, 53))
        for each in range(number):
            sender.sendto(b"question %03d" % each, (address, 53))


@pytest.mark.parametrize("interface", [LOOPBACK, EVERYWHERE])
@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.2"), (socket.AF_INET6, "::1")])
def test_each_packet_on_loopback_is_seen_once(wire, interface, family, address):
    """By loopback's own tap, which is spared what leaves, and by one on everything, whose filter drops it."""

    def work():
        with PacketTap(interface) as tap:
            ask(address, 20, family=family)
            return received(tap, 20)

    packets = in_namespace(wire.a, work)
    assert [packet.data[-3:] for packet in packets] == [b"%03d" % each for each in range(20)]
    assert {(packet.interface, packet.outgoing) for packet in packets} == {(LOOPBACK, False)}


def test_the_tap_of_a_link_sees_both_directions_and_nothing_of_others(wire):
    """What leaves and what arrives over it is there in order; loopback's packets are in the other tap alone."""

    def work():
        index = socket.if_nametoindex("a0")
        with PacketTap(LOOPBACK) as loopback, PacketTap(index) as link:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("10.77.0.2", 4999))
            ask("10.77.0.2", 1)
            ask("127.0.0.2", 2)
            packets = [p for p in received(link, 2) if p.ethertype == 0x0800]
            return index, packets, received(loopback, 2)

    index, packets, on_loopback = in_namespace(wire.a, work)
    assert [packet.outgoing for packet in packets] == [True, True]
    assert {packet.interface for packet in packets} == {index}
    assert [packet.interface for packet in on_loopback] == [LOOPBACK, LOOPBACK]


def test_an_interface_that_comes_later_is_seen_and_may_go_and_come_again(wire):
    """Connections over a link made while the sensor runs are told, and over its successor of the same index too."""
    with wire.a.watch() as seen:
        for port in (4101, 4102):
            wire.a.run("ip", "link", "add", "late0", "index", "777", "type", "veth", "peer", "name", "late1",
                       "netns", str(wire.b.pid))  # fmt: skip
            wire.a.run("ip", "addr", "add", "10.79.0.1/24", "dev", "late0")
            wire.b.run("ip", "addr", "add", "10.79.0.2/24", "dev", "late1")
            wire.b.run("ip", "link", "set", "late1", "up")
            wire.a.run("ip", "link", "set", "late0", "up")
            server = wire.b.python(LISTENER, "10.79.0.2", str(port))
            client = wire.a.python(CLIENT, "10.79.0.2", str(port))
            asked = seen.wait_for(ConnectionOpened, lambda event, port=port: event.destination_port == port)
            answered = seen.wait_for(
                ConnectionOpened, lambda event, port=port: event.destination_port == port and event.answered
            )
            assert (asked.direction, asked.owner.pid, answered.owner.pid) == ("outbound", client.pid, client.pid)
            assert asked.answered is False
            for process in (client, server):
                process.kill()
                process.wait()
            wire.a.run("ip", "link", "del", "late0")


def test_what_a_tap_saw_before_its_interface_went_can_still_be_read(wire):
    """The tap is over then, and `follow` hands it out to be emptied."""

    def work():
        wire.a.run("ip", "link", "add", "brief0", "type", "veth", "peer", "name", "brief1",
                   "netns", str(wire.b.pid))  # fmt: skip
        addresses = LocalAddresses()
        taps = Taps(addresses.links)
        wire.a.run("ip", "link", "set", "brief0", "up")
        wire.b.run("ip", "link", "set", "brief1", "up")
        wire.a.run("ip", "addr", "add", "10.80.0.1/24", "dev", "brief0")
        index = socket.if_nametoindex("brief0")
        wire.a.run("ip", "neigh", "add", "10.80.0.2", "lladdr", "02:00:00:00:00:09", "dev", "brief0")
        ask("10.80.0.2", 3)
        wire.a.run("ip", "link", "del", "brief0")
        addresses.refresh()
        gone = taps.follow(addresses.links)
        packets = [p for tap in gone for p in received(tap, 3) if p.data.find(b"question") > 0]
        for tap in gone:
            tap.close()
        left = [tap.interface for tap in taps]
        taps.close()
        addresses.close()
        return index, [tap.interface for tap in gone], packets, left

    index, gone, packets, left = in_namespace(wire.a, work)
    assert gone == [index]
    assert [packet.outgoing for packet in packets] == [True] * 3
    assert index not in left
    assert LOOPBACK in left


def test_very_many_interfaces_have_one_tap(wire):
    """Beyond the bound a tap on everything takes over, and stays; an interface that is not there has none."""

    def work():
        few = Taps([LOOPBACK, 99999])
        first = [tap.interface for tap in few]
        given_up = few.follow(range(1, MAX_TAPS + 2))
        second = [tap.interface for tap in few]
        few.follow([LOOPBACK])
        third = [tap.interface for tap in few]
        for tap in given_up:
            tap.close()
        few.close()
        return first, [tap.interface for tap in given_up], second, third

    assert in_namespace(wire.a, work) == ([LOOPBACK], [LOOPBACK], [EVERYWHERE], [EVERYWHERE])


def test_an_interface_whose_tap_is_refused_is_tried_again(wire):
    """Where no descriptor is left the standing taps go on, the refusal is kept, and the next call mends it."""

    def work():
        index = socket.if_nametoindex("a0")
        taps = Taps([LOOPBACK])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            taps.follow([LOOPBACK, index])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        refused, standing = taps.refused, [tap.interface for tap in taps]
        taps.follow([LOOPBACK, index])
        mended, all_of_them = taps.refused, [tap.interface for tap in taps]
        taps.close()
        return refused.reason, standing, mended, all_of_them == [LOOPBACK, index]

    reason, standing, mended, all_of_them = in_namespace(wire.a, work)
    assert "refused" in reason
    assert (standing, mended, all_of_them) == ([LOOPBACK], None, True)


def segment(version, ip_words, tcp_words, flags, ports, payload):
    """An IP packet with a TCP segment; extra words of the headers are filled with no-operations."""
    tcp = struct.pack("!HHIIBBHHH", *ports, 1, 1, tcp_words << 4, flags, 0, 0, 0) + b"\1" * (tcp_words * 4 - 20)
    body = tcp + payload
    if version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), 6, 64) + bytes(15) + b"\1" + bytes(15) + b"\1" + body
    size = ip_words * 4
    head = struct.pack("!BBHHHBBH", 0x40 | ip_words, 0, size + len(body), 1, 0, 64, 6, 0)
    return head + b"\x7f\0\0\1\x7f\0\0\1" + b"\1" * (size - 20) + body


SHAPES = [*itertools.product([4], [5, 6, 15], [5, 8, 10, 15]), *itertools.product([6], [5], [5, 8, 10, 15])]


@pytest.mark.parametrize(("version", "ip_words", "tcp_words"), SHAPES)
def test_every_shape_of_header_is_judged_alike(wire, version, ip_words, tcp_words):
    """SYNs, hellos and DNS data pass, and nothing else does, whatever options the headers carry."""
    ack, syn, push = 0x10, 0x02, 0x18
    cases = {
        "syn": (syn, (1000, 80), b""),
        "plain": (push, (1000, 80), b"GET / HTTP/1.1\r\n\r\n"),
        "ack": (ack, (1000, 80), b""),
        "hello": (push, (1000, 443), HELLO),
        "record": (push, (1000, 443), b"\x17" + HELLO[1:]),
        "version": (push, (1000, 443), HELLO[:1] + b"\2" + HELLO[2:]),
        "server hello": (push, (443, 1000), HELLO[:5] + b"\2" + HELLO[6:]),
        "short": (push, (1000, 443), HELLO[:5]),
        "question": (push, (1000, 53), b"question"),
        "answer": (push, (53, 1000), b"answer"),
        "ack of an answer": (ack, (1000, 53), b""),
    }
    packets = {name: segment(version, ip_words, tcp_words, *case) for name, case in cases.items()}

    def work():
        place = ("lo", 0x0800 if version == 4 else 0x86DD, 0, 0, bytes(6))
        with PacketTap(LOOPBACK) as tap, socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sender:
            for packet in [*packets.values(), packets["syn"]]:
                sender.sendto(packet, place)
            return [packet.data for packet in received(tap, 5)]

    names = {packet: name for name, packet in packets.items()}
    passed = [names[data] for data in in_namespace(wire.a, work)]
    assert passed == ["syn", "hello", "question", "answer", "syn"]
