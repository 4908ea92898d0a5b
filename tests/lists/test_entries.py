"""What counts as an entry: domains, networks and digests, as feeds write them, and nothing that is in doubt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.lists.entries import Read, read_digest, read_domain, read_indicator, read_network

TAKEN = {
    "Evil.Example.": ("domain", "evil.example"),
    "*.evil.example": ("domain", "evil.example"),
    "evil[.]example": ("domain", "evil.example"),
    "hxxps://Evil.example/path?x=1": ("domain", "evil.example"),
    "http://198.51.100.7:8080/x": ("network", "198.51.100.7/32"),
    "http://[2001:db8::1]:8080/": ("network", "2001:db8::1/128"),
    "evil.example/path": ("domain", "evil.example"),
    "evil.example:8443": ("domain", "evil.example"),
    "bücher.example": ("domain", "xn--bcher-kva.example"),
    "198.51.100.7": ("network", "198.51.100.7/32"),
    "198.51.100.7:4444": ("network", "198.51.100.7/32"),
    "198.51.100.77/24": ("network", "198.51.100.0/24"),
    "2001:DB8::1": ("network", "2001:db8::1/128"),
    "[2001:db8::1]:443": ("network", "2001:db8::1/128"),
    "2001:db8:ffff::/33": ("network", "2001:db8:8000::/33"),
    "::ffff:198.51.100.7": ("network", "198.51.100.7/32"),
    "D41D8CD98F00B204E9800998ECF8427E": ("md5", "d41d8cd98f00b204e9800998ecf8427e"),
    "a" * 40: ("sha1", "a" * 40),
    "b" * 64: ("sha256", "b" * 64),
}
REFUSED = [
    "", "com", "localhost", "evil", "-evil.example", "evil..example", "e vil.example", "http://", "a" * 64 + ".example",
    "1.2.3", "1.2.3.4.5", "256.1.1.1", "0.0.0.0/0", "10.0.0.0/7", "198.51.100.7/33", "::/0", "2001:db8::/12", "[::",
    "x" * 5000, "evil.example\0", "http://[::1", ".", "..", "evil.123",
]  # fmt: skip


@pytest.mark.parametrize("text", TAKEN)
def test_what_feeds_write_is_read(text):
    """Case, last dots, defanging, ports, paths and IPv4 inside IPv6 make no difference."""
    assert read_indicator(text) == TAKEN[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_makes_no_sense_is_counted_and_told(text):
    """One bad line costs that line, and says so with an example."""
    found = Read()
    found.take(text)
    found.take("good.example")
    assert [entry.value for entry in found.entries] == ["good.example"]
    assert sum(found.skipped.values()) == 1
    assert len(found.examples) == 1


@given(st.text(max_size=80))
def test_any_text_is_an_entry_or_a_value_error(text):
    """There is no third way; and what is an entry stays it when it is read again."""
    try:
        kind, value = read_indicator(text)
    except ValueError:
        return
    again = {"domain": read_domain, "network": read_network}.get(kind, lambda text: read_digest(text)[1])
    assert again(value) == value
