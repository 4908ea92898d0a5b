"""What is kept of an environment."""

from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.environ import KEPT_VARIABLES, MAX_VALUE, kept_environment


def test_named_variables_are_kept_and_nothing_else():
    """Loader orders and proxies stay; secrets, near names and texts without `=` do not."""
    block = b"LD_PRELOAD=/x.so\0AWS_SECRET_ACCESS_KEY=s\0LD_PRELOADED=1\0LD_AUDIT\0HTTPS_PROXY=http://p:1\0"
    assert kept_environment(block) == {"LD_PRELOAD": "/x.so", "HTTPS_PROXY": "http://p:1"}


def test_a_proxys_password_is_taken_out():
    """Credentials in a proxy's address are secrets, too."""
    assert kept_environment(b"http_proxy=http://user:pa@ss@host:80/\0") == {"http_proxy": "http://***@host:80/"}


def test_the_first_of_a_name_counts():
    """getenv gives the first, and so do we."""
    assert kept_environment(b"LD_AUDIT=1\0LD_AUDIT=2\0") == {"LD_AUDIT": "1"}


def test_a_long_value_is_bounded():
    """A value is cut at MAX_VALUE characters."""
    assert len(kept_environment(b"LD_PRELOAD=" + b"x" * 10_000)["LD_PRELOAD"]) == MAX_VALUE


@given(st.binary(max_size=400))
def test_any_bytes_give_bounded_text(block):
    """Any environment gives kept names with text that can be encoded."""
    for name, value in kept_environment(block + b"\0LD_PRELOAD=" + block).items():
        assert name.encode() in KEPT_VARIABLES
        assert value.encode().decode() == value
