"""DNS messages and DNS over TCP: real ones, hostile ones, and anything at all."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.dns import MAX_ALIASES, MAX_RECORDS, Question, parse_message, read_name
from outrider_sidecar.decode.dns_stream import MAX_FLOWS, DnsStreams, split_stream
from outrider_sidecar.decode.tcp import Segment

QUERY = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\3wWw\7Example\3COM\0\0\x1c\0\1"
ALIAS = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 60, 8) + b"\5alias\xc0\x0c"
ADDRESS = b"\xc0\x2d" + struct.pack("!HHIH", 28, 1, 30, 16) + bytes(15) + b"\7"
ANSWER = struct.pack("!HHHHHH", 7, 0x8180, 1, 2, 0, 0) + QUERY[12:] + ALIAS + ADDRESS
MAIL = b"\xc0\x0c" + struct.pack("!HHIH", 15, 1, 5, 4) + b"\0\1\xc0\x0c"
REAL = [QUERY, ANSWER, struct.pack("!HHHHHH", 7, 0x8183, 1, 3, 0, 0) + QUERY[12:] + ALIAS + MAIL + ADDRESS]


def question(name, *, counts=(1, 0, 0, 0)):
    return struct.pack("!HHHHHH", 1, 0x0100, *counts) + name + b"\0\1\0\1"


def test_a_question_is_lower_case_without_the_last_dot():
    """The name, its type and the direction of the message are told."""
    message = parse_message(QUERY)
    assert message.questions == (Question("www.example.com", "AAAA"),)
    assert (message.is_response, message.identity) == (False, 7)


def test_an_answer_gives_addresses_aliases_and_the_shortest_time():
    """Compressed names are followed; records of other types are passed over."""
    message = parse_message(ANSWER)
    assert (message.addresses, message.aliases, message.ttl_s) == (("::7",), ("alias.www.example.com",), 30)
    assert (message.is_response, message.code, message.cut) == (True, "NOERROR", False)
    other = parse_message(REAL[2])
    assert (other.code, other.addresses) == ("NXDOMAIN", ("::7",))


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        (b"\3a.b", "a\\046b"),
        (b"\3a\\b", "a\\092b"),
        (b"\4a b\0", "a\\032b\\000"),
        (b"\2\xc3\xbc", "\\195\\188"),
        (b"\1*", "*"),
        (b"\1\n\3XYZ", "\\010.xyz"),
        (b"", "."),
        (b"\x3f" + b"a" * 63, "a" * 63),
    ],
)
def test_any_byte_of_a_name_is_shown_and_can_not_be_mistaken(label, shown):
    """What is not a plain visible character, and a dot or backslash within a label, is shown as \\ddd."""
    assert parse_message(question(label + b"\0")).questions[0].name == shown


def test_a_name_of_the_greatest_length_is_read_and_a_longer_one_refused():
    """255 bytes are allowed, the length bytes and the root counted."""
    longest = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61 + b"\0"
    assert len(longest) == 255
    assert len(parse_message(question(longest)).questions[0].name) == 253
    with pytest.raises(ValueError, match="too long"):
        parse_message(question((b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"b" * 62 + b"\0"))


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (b"", "of 0 bytes"),
        (QUERY[:11], "of 11 bytes"),
        (QUERY[:20], "cut"),
        (QUERY[:-1], "question is cut"),
        (question(b"\xc0\x0c"), "does not point back"),
        (question(b"\xc0\xff"), "does not point back"),
        (question(b"\1a\xc0\x0c"), "does not point back"),
        (question(b"\x40abc\0"), "kind 1"),
        (question(b"\x80abc\0"), "kind 2"),
        (question(b"\1a\0", counts=(65535, 65535, 65535, 65535)), "65535 questions"),
        (question(b"\xc0"), "cut|point back"),
    ],
)
def test_what_is_no_message_is_refused(raw, refusal):
    """Short, looping, forward-pointing, unknown and boastful messages raise ValueError and nothing else."""
    with pytest.raises(ValueError, match=refusal):
        parse_message(raw)


def test_pointers_that_lead_to_each_other_end():
    """Two pointers cannot be followed for ever: each must point before all that came before it."""
    raw = bytes(12) + b"\1a\xc0\x10" + b"\1b\xc0\x0c"
    with pytest.raises(ValueError, match="point back"):
        read_name(raw, 16)


@pytest.mark.parametrize("cut", [1, 15, 17, 27, 30])
def test_an_answer_that_was_cut_gives_what_was_whole(cut):
    """Records that end within the message count; the message says that it is cut."""
    message = parse_message(ANSWER[:-cut])
    assert message.cut
    assert message.addresses == ()
    assert message.aliases == (("alias.www.example.com",) if cut < 28 else ())


def test_records_beyond_the_bound_are_not_read():
    """A message that claims 65,535 answers and has a thousand gives the first ones, once each, and says it is cut."""
    records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 9, 4) + number.to_bytes(4) for number in range(1, 1001))
    message = parse_message(struct.pack("!HHHHHH", 7, 0x8180, 1, 65535, 0, 0) + QUERY[12:] + records)
    assert len(message.addresses) == MAX_RECORDS
    assert message.cut


def test_aliases_beyond_the_bound_are_not_read():
    """Two hundred aliases of the greatest length in one message make an event of bounded size."""
    name = b"\1\xff" * 126 + b"\0"
    head = struct.pack("!HHHHHH", 1, 0x8180, 1, 200, 0, 0) + name + b"\0\1\0\1"
    records = b"".join(b"\0" + struct.pack("!HHIH", 5, 1, 1, 4) + bytes([1, each]) + b"\xc0\x0e" for each in range(200))
    message = parse_message(head + records)
    assert len(message.aliases) <= MAX_ALIASES
    assert message.cut


def test_unknown_numbers_are_named_by_number():
    """A type or code without a name is shown as TYPEn and RCODEn."""
    raw = struct.pack("!HHHHHH", 7, 0x800B, 1, 0, 0, 0) + b"\1a\0\xff\x01\0\1"
    assert (parse_message(raw).questions[0].record_type, parse_message(raw).code) == ("TYPE65281", "RCODE11")


def read_or_refuse(raw):
    try:
        message = parse_message(raw)
    except ValueError:
        return
    for text in (*message.addresses, *message.aliases, *(question.name for question in message.questions)):
        assert text.isascii() and text.isprintable() and len(text) <= 4 * 255


@given(st.binary(max_size=600))
def test_any_bytes_are_a_message_or_a_value_error(raw):
    """There is no third way."""
    read_or_refuse(raw)


@given(
    st.sampled_from(REAL), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8), st.integers(0, 99)
)
def test_real_messages_that_were_damaged_are_a_message_or_a_value_error(raw, changes, cut):
    """Changed bytes and lost tails reach deeper than noise does."""
    damaged = bytearray(raw)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    read_or_refuse(bytes(damaged[: len(damaged) - cut]))


FLOW = ("10.0.0.1", 40000, "10.0.0.2", 53)


def segment(sequence, payload):
    return Segment(40000, 53, sequence, 0, 0x18, payload)


def framed(message):
    return len(message).to_bytes(2) + message


@given(
    st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(1, 200), max_size=12), st.integers(0, 2**32 - 1)
)
def test_a_stream_is_put_together_however_it_was_cut(messages, cuts, start):
    """The same messages come out whatever the segments were, also where the sequence number wraps."""
    stream, streams, found, at = b"".join(map(framed, messages)), DnsStreams(), [], 0
    for size in [*cuts, len(stream)]:
        if part := stream[at : at + size]:
            found += streams.take(FLOW, segment((start + at) & 0xFFFFFFFF, part), 0)
            at += len(part)
    assert found == messages
    assert streams.given_up == 0


def test_a_repeated_segment_is_not_read_twice():
    """What was seen already while a message is awaited is left."""
    streams = DnsStreams()
    first, second = framed(QUERY)[:10], framed(QUERY)[10:]
    assert streams.take(FLOW, segment(100, first), 0) == []
    assert streams.take(FLOW, segment(100, first), 1) == []
    assert streams.take(FLOW, segment(110, second), 2) == [QUERY]


def test_what_cannot_be_put_together_is_given_up_and_counted():
    """A gap, a message too large, patience at its end, and one flow too many."""
    streams = DnsStreams()
    streams.take(FLOW, segment(100, framed(QUERY)[:10]), 0)
    assert streams.take(FLOW, segment(115, framed(QUERY)[15:]), 0) == []
    assert streams.given_up == 1
    streams = DnsStreams()
    streams.take(FLOW, segment(1, b"\xff\xff" + bytes(100)), 0)
    assert streams.given_up == 1
    streams.take(FLOW, segment(200, framed(QUERY)[:10]), 0)
    assert streams.take(FLOW, segment(210, framed(QUERY)), 11_000_000_000) == [QUERY]
    assert streams.given_up == 2
    streams = DnsStreams()
    for port in range(MAX_FLOWS + 3):
        streams.take(("10.0.0.1", port, "10.0.0.2", 53), segment(1, b"\0"), 0)
    assert streams.given_up == 3


@given(st.binary(max_size=400))
def test_any_bytes_split_into_messages_and_a_rest(data):
    """Nothing is lost and nothing invented."""
    messages, rest = split_stream(data)
    assert b"".join(map(framed, messages)) + rest == data
