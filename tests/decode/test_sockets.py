"""What the kernel tells of sockets, as bytes and as lines: layouts, refusals, directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.sockets import (
    covers,
    has_heard,
    parse_inet,
    parse_proc_net,
    parse_proc_unix,
    parse_unix,
    spoke_last,
    tell_direction,
)
from outrider_wire.events import SocketFacts

EPHEMERAL = range(32768, 61000)
LINE = b"   0: 0100007F:1F90 0200007F:9C40 01 00000000:00000000 00:00000000 00000000  0 0 4711 1 0000 20 4 30 10 -1"
MAPPED = (
    b"   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000200007F:9C40 06 "
    b"00000000:00000000 00:00000000 00000000  0 0 0 1 0000"
)


def tcp(local_port, remote_port, *, local="10.0.0.1", remote="10.0.0.2", protocol="tcp"):
    return SocketFacts(
        inode=1, protocol=protocol, local=local, local_port=local_port, remote=remote, remote_port=remote_port
    )


@pytest.mark.parametrize(
    ("facts", "direction"),
    [
        (tcp(80, 40000), "inbound"),
        (tcp(40000, 80), "outbound"),
        (tcp(40000, 40001), "unknown"),
        (tcp(80, 81), "unknown"),
        (tcp(50000, 40000), "inbound"),
        (tcp(50000, 80), "inbound"),
        (tcp(40000, 50000, remote="10.0.0.1"), "outbound"),
        (tcp(50000, 40001, protocol="udp"), "unknown"),
        (tcp(0, 0), "unknown"),
    ],
)
def test_direction_by_listener_then_by_ephemeral_port(facts, direction):
    """A listener on the local port means inbound; else the end with an ephemeral port opened the connection."""
    assert tell_direction(facts, {50000: ["0.0.0.0"]}, EPHEMERAL).direction == direction


def test_what_a_listening_address_covers():
    """The unspecified IPv6 address takes IPv4 as well, the IPv4 one only its own kind."""
    assert covers("::", "10.0.0.1") and covers("::", "fd00::1") and covers("0.0.0.0", "10.0.0.1")
    assert not covers("0.0.0.0", "fd00::1")
    assert not covers("127.0.0.1", "10.0.0.1")


def test_lines_of_proc_net():
    """Addresses are words in machine order; IPv4 in IPv6 is shown as IPv4; a socket that nobody holds has inode 0."""
    facts = parse_proc_net(LINE, "tcp")
    assert (facts.local, facts.local_port, facts.remote, facts.remote_port) == ("127.0.0.1", 8080, "127.0.0.2", 40000)
    assert (facts.inode, facts.state) == (4711, "ESTABLISHED")
    mapped = parse_proc_net(MAPPED, "tcp")
    assert (mapped.local, mapped.remote, mapped.state, mapped.inode) == ("127.0.0.1", "127.0.0.2", "TIME_WAIT", 0)


def test_lines_of_proc_net_unix():
    """Listening, connected and unconnected sockets, with a name of any bytes or none."""
    for line, state in (
        (b"0000: 00000002 00000000 00010000 0001 01 4711 /run/\xff x", "LISTEN"),
        (b"0000: 00000003 00000000 00000000 0001 03 4711", "ESTABLISHED"),
        (b"0000: 00000003 00000000 00000000 0002 01 4711", "CLOSE"),
    ):
        assert (parse_proc_unix(line).inode, parse_proc_unix(line).state) == (4711, state)


@given(st.binary(max_size=200))
def test_any_bytes_are_facts_or_a_value_error(raw):
    """There is no third way for any of the four shapes."""
    for parse in (
        lambda: parse_inet(raw, "udp"),
        lambda: parse_unix(raw, 0),
        lambda: parse_proc_net(raw, "tcp"),
        lambda: parse_proc_unix(raw),
    ):
        try:
            assert isinstance(parse(), SocketFacts)
        except ValueError:
            pass


@given(st.binary(max_size=300))
def test_any_bytes_tell_who_spoke_last_or_are_too_few(raw):
    """`tcp_info` grows with the kernel; what is asked for stands at its beginning."""
    try:
        assert spoke_last(raw) in (True, False)
        assert has_heard(raw) or not spoke_last(raw)
    except ValueError:
        assert len(raw) < 136


@given(st.integers(0, 150), st.binary(min_size=1, max_size=4))
def test_damaged_lines_are_facts_or_a_value_error(at, noise):
    """A real line with some bytes changed is read or refused."""
    for line in (LINE, MAPPED):
        at %= len(line)
        try:
            assert isinstance(parse_proc_net(line[:at] + noise + line[at + len(noise) :], "tcp"), SocketFacts)
        except ValueError:
            pass
