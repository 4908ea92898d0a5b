"""What gate and engine say to each other, and what the kernel says to the gate: bytes in, the type or an error out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack

from outrider_sidecar.gate.channel import MAX_WAITING, Channel
from outrider_sidecar.gate.limit import MINUTE_NS, Limit
from outrider_sidecar.gate.options import open_pair
from outrider_sidecar.gate.records import (
    Answer,
    Done,
    Guarded,
    Hello,
    Question,
    Roster,
    read_to_engine,
    read_to_gate,
)
from outrider_wire.errors import WireError
from outrider_wire.events import FileFacts

TO_GATE = [Roster([Guarded(1, 2, 3)]), Answer(1, 7, True), Answer(2, 1, False, True)]
TO_ENGINE = [Hello(3), Question(1, 2, 3, 4, FileFacts("/x", 1, 2), 5, 6), Done(1, 2, "late")]


def test_records_are_read_as_they_were_written():
    """Both ways, and each end refuses what is for the other."""
    assert [read_to_gate(msgpack.encode(record)) for record in TO_GATE] == TO_GATE
    assert [read_to_engine(msgpack.encode(record)) for record in TO_ENGINE] == TO_ENGINE
    for record in TO_ENGINE:
        with pytest.raises(WireError):
            read_to_gate(msgpack.encode(record))


@given(st.binary(max_size=200) | st.sampled_from(TO_GATE + TO_ENGINE).map(msgpack.encode))
def test_other_bytes_are_refused(data):
    """There is no third way."""
    for read in (read_to_gate, read_to_engine):
        try:
            assert isinstance(read(data), Roster | Answer | Hello | Question | Done)
        except WireError:
            pass


def test_packets_wait_for_room_in_their_order_and_no_longer_than_the_bound():
    """The pair takes a few, the channel keeps the rest, and what does not fit there is refused."""
    pair = open_pair()
    out, into = Channel(pair.gate_fd), Channel(pair.engine_fd)
    sent = 0
    while out.send(Hello(sent)):
        sent += 1
    assert sent > MAX_WAITING
    got = []
    while len(got) < sent:
        packets = into.receive()
        assert packets
        got += [read_to_engine(packet) for packet in packets]
        out.flush()
    assert got == [Hello(number) for number in range(sent)]
    assert not out.has_waiting


def test_the_pair_outlives_an_end_that_is_closed():
    """Each start of gate or engine duplicates its end; what lay in it is there for the next."""
    pair = open_pair()
    out, first = Channel(pair.gate_fd), Channel(pair.engine_fd)
    first.close()
    assert out.send(Hello(1))
    assert Channel(pair.engine_fd).receive() == [msgpack.encode(Hello(1))]


def test_the_limit_counts_the_last_minute():
    """One more than the limit is too many, and is not counted itself."""
    limit = Limit(2)
    assert [limit.allows(at_ns) for at_ns in (0, 1, 2)] == [True, True, False]
    assert limit.allows(MINUTE_NS)
    assert not limit.allows(MINUTE_NS)
    assert limit.allows(MINUTE_NS + 1)
