"""What packets tell, without a kernel: packets in, events out."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from outrider_sidecar.linux.packet import Captured
from outrider_sidecar.sensors.owners import NOBODY, Owner
from outrider_sidecar.sensors.traffic import SAME_ASKER_NS, TrafficReader
from outrider_wire.events import ConnectionOpened, NameQueried, NameResolved, ProcessId

US, THEM, ELSEWHERE = "10.0.0.1", "10.0.0.2", "10.0.0.3"
SYN, ACK, RST = 2, 16, 4
QUERY = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\3www\7example\3com\0\0\1\0\1"


class Owners:
    """Owners as a test wants them; remembers what it was asked."""

    def __init__(self, *owners):
        self.owners = list(owners)
        self.asked = []

    def of_connection(self, local, local_port, remote, remote_port, *, interface=0, accepting=False):
        self.asked.append((local, local_port, remote, remote_port))
        return self.owners.pop(0) if self.owners else NOBODY

    of_datagrams = of_connection


def address(text):
    return bytes(map(int, text.split(".")))


def captured(source, destination, protocol, payload):
    total = 20 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, total, 1, 0, 64, protocol, 0)
    return Captured(1, head + address(source) + address(destination) + payload, 0x0800, False, 2)


def tcp(source, destination, flags, *, ports=(40000, 80), sequence=5, acknowledged=0, payload=b""):
    head = struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, 0x50, flags, 0, 0, 0)
    return captured(source, destination, 6, head + payload)


def udp(source, destination, ports, payload):
    return captured(source, destination, 17, struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload)


def read(packets, *, owners=None, local=(US,), ignore=lambda _: False):
    events = []
    reader = TrafficReader(owners or Owners(), local, ignore)
    for packet in packets:
        reader.read(packet, events.append)
    return events, reader


def test_a_connection_that_is_routed_through_is_not_ours():
    """Where neither end is local there is no event; it is counted."""
    events, reader = read([tcp(THEM, ELSEWHERE, SYN)])
    assert events == []
    assert reader.counts.foreign == 1


def test_the_owner_found_at_the_syn_stays_with_the_answer():
    """The SYN-ACK asks nobody again: the same event comes with `answered`."""
    owner = Owner(ProcessId(5, 6), "exact", 77)
    owners = Owners(owner)
    packets = [tcp(US, THEM, SYN), tcp(THEM, US, SYN | ACK, ports=(80, 40000), acknowledged=6)]
    (asked, answered), _ = read(packets, owners=owners)
    assert owners.asked == [(US, 40000, THEM, 80)]
    assert (asked.owner, asked.attribution, asked.socket_inode, asked.answered) == (ProcessId(5, 6), "exact", 77, False)
    assert (answered.owner, answered.source, answered.direction, answered.answered) == (
        asked.owner,
        US,
        "outbound",
        True,
    )


def test_an_answer_whose_syn_was_missed_is_told_whole():
    """The sensor may begin, or lose a packet, between the two."""
    (answered,), _ = read([tcp(THEM, US, SYN | ACK, ports=(80, 40000), acknowledged=6)])
    assert isinstance(answered, ConnectionOpened)
    assert (answered.source, answered.destination, answered.answered) == (US, THEM, True)


def test_an_ignored_connection_stays_ignored_at_its_answer():
    """What was not told at the SYN is not told at the SYN-ACK either."""
    packets = [tcp(US, THEM, SYN), tcp(THEM, US, SYN | ACK, ports=(80, 40000), acknowledged=6)]
    events, _ = read(packets, owners=Owners(Owner(ProcessId(5, 6), "exact", 77)), ignore=lambda pid: pid == 5)
    assert events == []


def test_who_asked_from_a_port_asked_the_next_too():
    """The second question of a resolver whose process is gone by then; not a question of another port, nor of later."""
    asker, packet = Owner(ProcessId(7, 70), "exact", 5, 4), udp(US, THEM, (5353, 53), QUERY)
    other = udp(US, THEM, (5354, 53), QUERY)
    late = replace(packet, at_ns=packet.at_ns + SAME_ASKER_NS + 1)
    events, _ = read([packet, packet, other, late], owners=Owners(asker))
    told = [(event.owner, event.attribution, event.mnt_ns) for event in events]
    assert told == [(asker.process, "exact", 4), (asker.process, "inferred", 4), *[(None, "unknown", 0)] * 2]


def test_questions_are_those_we_send_and_answers_those_we_get():
    """A question that arrives here, and an answer that leaves, are another host's to tell; port 53 decides which."""
    answer = QUERY[:2] + b"\x81\x80" + QUERY[4:]
    packets = [
        udp(US, THEM, (40000, 53), QUERY),
        udp(THEM, US, (40000, 53), QUERY),
        udp(US, THEM, (53, 40000), answer),
        udp(THEM, US, (53, 40000), answer),
        udp(THEM, US, (40000, 53), answer),
    ]
    events, _ = read(packets)
    assert [type(event) for event in events] == [NameQueried, NameResolved]
    assert (events[0].server, events[1].server) == (THEM, THEM)


def test_a_reset_with_syn_is_no_connection():
    """Flags that no honest stack sends together are left."""
    assert read([tcp(US, THEM, SYN | RST)])[0] == []


def test_a_hello_without_its_name_is_counted():
    """The part that followed in another segment is not passed by the filter; the count says how often."""
    hello = b"\x16\3\1\x07\0\1\0\x06\xfc\3\3" + bytes(20)
    events, reader = read([tcp(US, THEM, ACK, ports=(40000, 443), payload=hello)])
    assert events == []
    assert reader.counts.cut_hellos == 1


@given(
    st.lists(
        st.tuples(st.sampled_from([6, 17, 1]), st.sampled_from([53, 80]), st.integers(0, 255), st.binary(max_size=80))
    )
)
def test_any_packets_are_read_or_counted(packets):
    """No packet raises, whatever its ports, flags and bytes are."""
    made = [captured(US, THEM, kind, payload) for kind, _, _, payload in packets]
    made += [tcp(THEM, US, flags, ports=(port, 53), payload=payload) for _, port, flags, payload in packets]
    made += [udp(US, THEM, (port, 53), payload) for _, port, _, payload in packets]
    _, reader = read(made)
    assert reader.counts.seen == len(made)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_counted(raw):
    """Not even a packet that is no packet raises."""
    _, reader = read([Captured(1, raw, 0x0800, False, 2), Captured(1, b"\x45" + raw, 0x86DD, True, 0)])
    assert reader.counts.seen == 2
