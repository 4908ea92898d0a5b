"""Webhook signatures: who has the secret can tell what is genuine, and what is old or changed."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.export.signing import SIGNATURE, TIMESTAMP, WINDOW_S, read_secrets, sign, verify

SECRET = b"0123456789abcdef"
BODY = b'{"id": "x"}'


def test_the_documented_recipe_gives_the_header() -> None:
    """HMAC-SHA256 over version, timestamp and body."""
    headers = sign([SECRET], BODY, now_s=1_767_225_600)
    right = hmac.new(SECRET, b'v1:1767225600:{"id": "x"}', hashlib.sha256).hexdigest()
    assert headers == {TIMESTAMP: "1767225600", SIGNATURE: f"v1={right}"}


def test_what_does_not_hold() -> None:
    """Another body, another time, another secret, a time out of the window, and nonsense."""
    headers = sign([SECRET, b"another-secret-of-ours"], BODY, now_s=1000)
    at, signature = headers[TIMESTAMP], headers[SIGNATURE]
    assert verify(SECRET, at, signature, BODY, now_s=1000 + WINDOW_S)
    assert verify(b"another-secret-of-ours", at, signature, BODY, now_s=1000 - WINDOW_S)
    assert not verify(SECRET, at, signature, BODY + b" ", now_s=1000)
    assert not verify(SECRET, "1001", signature, BODY, now_s=1000)
    assert not verify(b"not the right secret", at, signature, BODY, now_s=1000)
    assert not verify(SECRET, at, signature, BODY, now_s=1001 + WINDOW_S)
    assert not verify(SECRET, at, signature, BODY, now_s=999 - WINDOW_S)
    assert not verify(SECRET, at, signature.replace("v1=", "v0="), BODY, now_s=1000)


@given(st.text(max_size=40), st.text(max_size=100), st.binary(max_size=40))
def test_no_headers_raise(timestamp: str, signature: str, body: bytes) -> None:
    """A forger gets False and nothing else."""
    assert not verify(SECRET, timestamp, signature, body, now_s=1000)


def test_secrets_of_a_file() -> None:
    """One a line, two while one is changed; short ones are refused."""
    assert read_secrets("0123456789abcdef\n\nfedcba9876543210\n") == [SECRET, b"fedcba9876543210"]
    for wrong in ("", "short\n", "\n".join(["0123456789abcdef"] * 5)):
        with pytest.raises(ValueError, match="secret"):
            read_secrets(wrong)
