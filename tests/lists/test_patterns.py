"""STIX patterns: what names things is read, and what wants more than that is refused whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.lists.patterns import read_pattern

SHA = "e" * 64
READ = {
    "[domain-name:value = 'evil.example']": [("domain", "evil.example")],
    "  [ domain-name:value='evil.example' ]  ": [("domain", "evil.example")],
    "[ipv4-addr:value = '198.51.100.7']": [("network", "198.51.100.7/32")],
    "[ipv4-addr:value ISSUBSET '198.51.100.0/24']": [("network", "198.51.100.0/24")],
    "[ipv6-addr:value = '2001:db8::/32']": [("network", "2001:db8::/32")],
    "[domain-name:value = 'a.example' OR domain-name:value = 'b.example']": [
        ("domain", "a.example"),
        ("domain", "b.example"),
    ],
    "[domain-name:value = 'a.example'] OR [ipv4-addr:value = '192.0.2.1']": [
        ("domain", "a.example"),
        ("network", "192.0.2.1/32"),
    ],
    "[domain-name:value IN ('a.example', 'b.example')]": [("domain", "a.example"), ("domain", "b.example")],
    f"[file:hashes.'SHA-256' = '{SHA}']": [("sha256", SHA)],
    f"[file:hashes.MD5 = '{'a' * 32}' AND file:hashes.'SHA-1' = '{'b' * 40}']": [("md5", "a" * 32), ("sha1", "b" * 40)],
    "[url:value = 'http://evil.example/gate.php']": [("domain", "evil.example")],
}
REFUSED = [
    "",
    "[]",
    "domain-name:value = 'evil.example'",
    "[domain-name:value = 'evil.example'",
    "[domain-name:value = 'evil.example'] WITHIN 5 SECONDS",
    "[domain-name:value = 'evil.example'] FOLLOWEDBY [ipv4-addr:value = '192.0.2.1']",
    "[domain-name:value = 'evil.example'] AND [ipv4-addr:value = '192.0.2.1']",
    "[domain-name:value = 'evil.example' AND ipv4-addr:value = '192.0.2.1']",
    f"[file:hashes.MD5 = '{'a' * 32}' AND file:hashes.MD5 = '{'b' * 32}' OR file:hashes.MD5 = '{'c' * 32}']",
    f"[file:hashes.MD5 = '{'a' * 32}' AND file:name = 'x']",
    "[NOT domain-name:value = 'evil.example']",
    "[domain-name:value != 'evil.example']",
    "[domain-name:value LIKE '%.example']",
    "[domain-name:value MATCHES '.*']",
    "[domain-name:value = 'evil.example' OR]",
    "[file:hashes.'SSDEEP' = 'x']",
    f"[file:hashes.'SHA-256' = '{'a' * 32}']",
    "[domain-name:value = '192.0.2.1']",
    "[process:name = 'x']",
    '[domain-name:value = "evil.example"]',
    "[domain-name:value = 'evil.example']]",
    "(" * 10_000,
    "[domain-name:value IN (" + ",".join(["'a.example'"] * 5000) + ")]",
    "[" + "a" * 70_000,
]


@pytest.mark.parametrize("pattern", READ)
def test_what_is_named_is_listed(pattern):
    """Names, addresses, networks and digests, one or several."""
    assert read_pattern(pattern) == READ[pattern]


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_wants_more_is_refused_whole(pattern):
    """Half a pattern would list what its author did not mean."""
    with pytest.raises(ValueError, match=r"."):
        read_pattern(pattern)


@given(st.text(alphabet="[]()='\\ ,ANDORIN:domain-name:valuefile:hashes.'SHA-256'a.b", max_size=80) | st.text())
def test_any_text_is_a_pattern_or_a_value_error(pattern):
    """There is no third way."""
    try:
        assert all(value for _, value in read_pattern(pattern))
    except ValueError:
        pass
