"""IP, TCP and UDP headers, and which handshakes are news."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.handshakes import MEMORY_NS, Handshakes
from outrider_sidecar.decode.ip import MAX_EXTENSIONS, parse_ip
from outrider_sidecar.decode.tcp import ACK, SYN, parse_datagram, parse_segment


def ipv4(payload, *, protocol=6, options=b"", fragment=0, total=None, padding=b""):
    length = 20 + len(options)
    total = length + len(payload) if total is None else total
    head = struct.pack("!BBHHHBBH", 0x40 | length // 4, 0, total, 1, fragment, 64, protocol, 0)
    return head + bytes([10, 0, 0, 1, 10, 0, 0, 2]) + options + payload + padding


def ipv6(payload, *, protocol=6):
    addresses = bytes.fromhex("fd77" + "00" * 13 + "01" + "fd77" + "00" * 13 + "02")
    return struct.pack("!IHBB", 0x60000000, len(payload), protocol, 64) + addresses + payload


def tcp(payload=b"", *, flags=SYN, words=5):
    return struct.pack("!HHIIBBHHH", 40000, 80, 11, 22, words << 4, flags, 0, 0, 0) + bytes(words * 4 - 20) + payload


def test_a_segment_in_ipv4_with_options_and_padding():
    """Options are passed over, and what the link added to reach its least length is cut off."""
    packet = parse_ip(ipv4(tcp(b"data", flags=ACK, words=7), options=bytes(8), padding=bytes(6)))
    segment = parse_segment(packet.payload)
    assert (packet.source, packet.destination, packet.protocol) == ("10.0.0.1", "10.0.0.2", 6)
    assert (segment.source_port, segment.destination_port, segment.flags) == (40000, 80, ACK)
    assert (segment.sequence, segment.acknowledged, segment.payload) == (11, 22, b"data")


def test_a_large_packet_that_the_card_will_cut_has_length_zero():
    """A total length of 0 means all that is there."""
    assert parse_ip(ipv4(b"x" * 40, total=0)).payload == b"x" * 40


def test_ipv6_extension_headers_are_walked():
    """Options, routing, a first fragment and an authentication header lead to the segment behind them."""
    chain = b"\x3c" + bytes(7)  # hop-by-hop, then destination options
    chain += b"\x2b\1" + bytes(14)  # 16 bytes, then routing
    chain += b"\x33" + bytes(7)  # then authentication
    chain += b"\x2c\1" + bytes(10)  # 12 bytes, then fragment
    chain += b"\x06" + bytes(7)
    packet = parse_ip(ipv6(chain + tcp(b"x"), protocol=0))
    assert (packet.source, packet.destination, packet.protocol) == ("fd77::1", "fd77::2", 6)
    assert parse_segment(packet.payload).payload == b"x"


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (b"", "empty"),
        (b"\x50" * 40, "version 5"),
        (ipv4(b"")[:19], "19 bytes"),
        (b"\x44" + ipv4(b"")[1:], "lengths"),
        (ipv4(b"abc", total=10), "lengths"),
        (ipv4(b"abc", fragment=0x2001), "later fragment"),
        (ipv6(b"")[:39], "39 bytes"),
        (ipv6(b"\6\0\0\x08" + bytes(4) + tcp(), protocol=44), "later fragment"),
        (ipv6(b"\0" + bytes(3), protocol=0), "cut"),
        (ipv6((b"\0" + bytes(7)) * (MAX_EXTENSIONS + 1) + tcp(), protocol=0), "extension headers"),
    ],
)
def test_what_is_no_packet_is_refused(raw, refusal):
    """Short, contradictory, fragmented and endless packets raise ValueError."""
    with pytest.raises(ValueError, match=refusal):
        parse_ip(raw)


def test_what_is_no_segment_or_datagram_is_refused():
    """Headers that are short or claim to be shorter than they are raise ValueError."""
    for raw in (tcp()[:19], tcp(words=5)[:12] + b"\x40" + tcp()[13:]):
        with pytest.raises(ValueError, match="TCP"):
            parse_segment(raw)
    for raw in (b"\0" * 7, b"\0\x35\0\x35\0\7\0\0"):
        with pytest.raises(ValueError, match="UDP"):
            parse_datagram(raw)
    assert parse_datagram(b"\0\x35\x9c\x40\0\x0b\0\0abcdef").payload == b"abc"


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x45", b"\x60\0\0\0"]))
def test_any_bytes_are_a_packet_or_a_value_error(raw, start):
    """There is no third way, for the packet and for what it carries."""
    try:
        packet = parse_ip(start + raw)
        parse_segment(packet.payload)
        parse_datagram(packet.payload)
    except ValueError:
        return
    assert len(packet.payload) <= len(start + raw)


ENDS = ("10.0.0.1", 40000, "10.0.0.2", 80)


def test_a_handshake_is_news_once():
    """The first SYN and the first SYN-ACK of an attempt are news, their repeats are not."""
    handshakes = Handshakes()
    asked = handshakes.ask(ENDS, 5, 0)
    assert asked is not None
    assert handshakes.ask(ENDS, 5, 1_000_000_000) is None
    assert handshakes.answer(ENDS, 6, 2) is asked
    assert handshakes.answer(ENDS, 6, 3) is None
    assert handshakes.ask(ENDS, 5, 4) is None


def test_the_same_ends_with_another_sequence_number_are_another_attempt():
    """A port that is used again, at once or after the memory's end, is news."""
    handshakes = Handshakes()
    assert handshakes.ask(ENDS, 5, 0) is not None
    assert handshakes.ask(ENDS, 6, 1) is not None
    assert handshakes.answer(ENDS, 7, 2) is not None
    assert handshakes.ask(ENDS, 6, 1 + MEMORY_NS) is not None


def test_an_answer_to_an_unseen_question_is_news():
    """A SYN-ACK whose SYN was missed says so by having been told to nobody; sequence numbers wrap."""
    attempt = Handshakes().answer(ENDS, 0, 0)
    assert attempt is not None
    assert (attempt.sequence, attempt.told) == (0xFFFFFFFF, None)


def test_attempts_are_bounded():
    """A flood of SYNs keeps no more than the limit, the newest ones."""
    handshakes = Handshakes(limit=10)
    for port in range(100):
        handshakes.ask(("10.0.0.1", port, "10.0.0.2", 80), 1, port)
    assert len(handshakes) == 10
    assert handshakes.ask(("10.0.0.1", 99, "10.0.0.2", 80), 1, 100) is None
    assert handshakes.ask(("10.0.0.1", 5, "10.0.0.2", 80), 1, 100) is not None
