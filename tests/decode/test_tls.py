"""ClientHellos: those of real clients, cut ones, hostile ones, and anything at all."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.tls import parse_client_hello


def real_hello(name):
    """What this machine's OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def extension(kind, data):
    return kind.to_bytes(2) + len(data).to_bytes(2) + data


def server_name(name, kind=0):
    entry = bytes([kind]) + len(name).to_bytes(2) + name
    return extension(0, len(entry).to_bytes(2) + entry)


def hello(*extensions, record_bytes=16384):
    joined = b"".join(extensions)
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + (len(joined).to_bytes(2) + joined if joined else b"")
    message = b"\1" + len(body).to_bytes(3) + body
    parts = [message[i : i + record_bytes] for i in range(0, len(message), record_bytes)]
    return b"".join(b"\x16\3\1" + len(part).to_bytes(2) + part for part in parts)


HELLO = real_hello("Www.Example.org")


def test_the_name_in_a_real_hello():
    """OpenSSL's own hello gives the name in lower case."""
    found = parse_client_hello(HELLO)
    assert (found.server_name, found.cut) == ("www.example.org", False)


def test_a_hello_without_a_name():
    """No name extension, and no extensions at all, give an empty name and nothing cut."""
    for raw in (hello(), hello(extension(43, b"\2\3\4")), hello(server_name(b"x", kind=1))):
        assert (parse_client_hello(raw).server_name, parse_client_hello(raw).cut) == ("", False)


def test_a_name_behind_a_large_key_share():
    """The name is found wherever it stands, and what follows it may be missing."""
    raw = hello(extension(51, bytes(1216)), server_name(b"last.example"), extension(21, bytes(200)))
    assert parse_client_hello(raw).server_name == "last.example"
    assert parse_client_hello(raw[:-190]).server_name == "last.example"


def test_a_hello_that_ends_before_its_name_says_so():
    """What would have followed in another segment is told as cut, not as absent."""
    raw = hello(extension(51, bytes(1216)), server_name(b"last.example"))
    for length in (6, 12, 60, 1000, len(raw) - 3):
        found = parse_client_hello(raw[:length]) if length > 9 else None
        assert found is None or (found.server_name, found.cut) == ("", True)


def test_a_hello_in_many_small_records():
    """Records within the segment are joined."""
    raw = hello(server_name(b"small.example"), record_bytes=9)
    assert parse_client_hello(raw).server_name == "small.example"


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"A.b.", "a.b"), (b"\xff\0.x", "\\255\\000.x"), (b"a b\n", "a\\032b\\010"), (b"", ""), (b"x" * 255, "x" * 255)],
)
def test_any_byte_of_a_name_is_shown(name, shown):
    """Names are shown as DNS names are."""
    assert parse_client_hello(hello(server_name(name))).server_name == shown


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x16\3\1",
        b"\x17\3\3\0\5hello",
        b"\x16\3\1\0\4\2\0\0\0",
        hello(server_name(b"x" * 256)),
        hello(b"\0\0\xff\xff"),
    ],
)
def test_what_is_no_hello_is_refused(raw):
    """Other records, other messages, a name too long and lengths that reach beyond the hello raise ValueError."""
    with pytest.raises(ValueError, match=r"not a ClientHello|ends within|server name of"):
        parse_client_hello(raw)


def read_or_refuse(raw):
    try:
        found = parse_client_hello(raw)
    except ValueError:
        return
    assert found.server_name.isascii() and found.server_name.isprintable() and len(found.server_name) <= 4 * 255


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_a_hello_or_a_value_error(raw, framed):
    """There is no third way, also behind a valid record header."""
    read_or_refuse(b"\x16\3\1" + len(raw).to_bytes(2) + b"\1" + raw if framed else raw)


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=8), st.integers(0, 300))
def test_real_hellos_that_were_damaged_are_a_hello_or_a_value_error(changes, cut):
    """Changed bytes and lost tails reach deeper than noise does."""
    damaged = bytearray(HELLO)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    read_or_refuse(bytes(damaged[: max(0, len(damaged) - cut)]))
