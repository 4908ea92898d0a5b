"""Where a request comes from: the peer, and behind load balancers that are trusted whoever asked them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.api.origin import MAX_HOPS, origin_of, read_networks
from outrider_wire.errors import ConfigError

TRUSTED = read_networks("10.0.0.0/8, 192.0.2.1, fd00::/8")


def origin(peer: str, *lines: str, trusted: str = "") -> str:
    """What is found for a peer and lines of X-Forwarded-For."""
    headers = [(b"x-forwarded-for", line.encode()) for line in lines]
    networks = read_networks(trusted) if trusted else TRUSTED
    return origin_of({"client": (peer, 1), "headers": [(b"host", b"x"), *headers]}, networks)


@pytest.mark.parametrize(
    ("peer", "lines", "expected"),
    [
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.7, 10.2.3.4"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("fd00::1", ["2001:DB8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("192.0.2.1", ["203.0.113.7, unknown"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.7, <script>, 10.2.2.2"], "10.2.2.2"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("192.0.2.2", ["198.51.100.1"], "192.0.2.2"),
    ],
)
def test_the_address_is_the_last_that_nobody_untrusted_could_write(peer: str, lines: list[str], expected: str) -> None:
    """What an untrusted peer writes, or stands before the first untrusted address, is not believed."""
    assert origin(peer, *lines) == expected


def test_without_trusted_proxies_the_peer_is_who_asks() -> None:
    """Whatever the header says; and where there is no peer, nobody."""
    assert origin_of({"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"203.0.113.7")]}, ()) == "10.0.0.1"
    assert origin_of({"client": None, "headers": []}, TRUSTED) == ""


def test_only_so_many_hops_are_looked_at() -> None:
    """A header of thousands of trusted addresses is no work."""
    line = ", ".join(["203.0.113.7", *["10.0.0.2"] * 5000, *["10.0.0.3"] * (MAX_HOPS - 1)])
    assert origin("10.0.0.1", line) == "10.0.0.2"


@given(st.binary(max_size=200))
def test_any_header_gives_an_address(line: bytes) -> None:
    """An address of the header or the peer's."""
    found = origin_of({"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", line)]}, TRUSTED)
    assert read_networks(found)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.org", "10.0.0.0/33", "::1%lo/64"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """At the start, by name."""
    with pytest.raises(ConfigError, match="trusted_proxies"):
        read_networks(text)
