"""Enrolment: a key is offered by who holds it, vouched for by who holds the resume key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from outrider_wire.enrolment import MAX_ENROL_BYTES, EnrolRequest, encode_request, make_request, read_request
from outrider_wire.errors import WireError
from outrider_wire.findings import TaskView
from outrider_wire.signing import SigningKey

KEY, RESUME, OTHER = (SigningKey.from_seed(bytes([n]) * 32) for n in (1, 2, 3))

REQUEST = make_request(KEY, RESUME, token="secret", task=TaskView(arn="arn:1"), made_at_ns=5)


def test_a_request_reads_back_as_it_was() -> None:
    """What was made is what is read, both signatures checked."""
    assert read_request(encode_request(REQUEST)) == REQUEST


@pytest.mark.parametrize(
    "changed",
    [
        replace(REQUEST, public_key=OTHER.public),
        replace(REQUEST, task=TaskView(arn="arn:2")),
        replace(REQUEST, task=None),
        replace(REQUEST, made_at_ns=6),
        replace(REQUEST, resume_public_key=OTHER.public),
        replace(REQUEST, resume_signature=REQUEST.signature),
        replace(REQUEST, signature=bytes(64)),
    ],
)
def test_nothing_signed_can_be_changed(changed: EnrolRequest) -> None:
    """Key, task, time and resume key are under both signatures."""
    with pytest.raises(WireError, match="bad-signature"):
        read_request(encode_request(changed))


def test_the_token_may_be_newer_than_the_signatures() -> None:
    """A successor hands in a dead predecessor's request under the token of today."""
    assert read_request(encode_request(replace(REQUEST, token="rotated"))).token == "rotated"


def test_other_versions_and_sizes_are_refused() -> None:
    """An unknown version and an oversized request each get their code."""
    with pytest.raises(WireError, match="unknown-version"):
        read_request(encode_request(replace(REQUEST, version=2)))
    with pytest.raises(WireError, match="too-large"):
        read_request(bytes(MAX_ENROL_BYTES + 1))


@given(st.binary(max_size=200), st.integers(0, 300))
def test_garbage_is_refused_and_nothing_else(garbage: bytes, at: int) -> None:
    """Any bytes, alone or put into a good request, raise WireError and only that."""
    good = encode_request(REQUEST)
    for data in (garbage, good[:at] + garbage + good[at + len(garbage) + 1 :]):
        with pytest.raises(WireError):
            read_request(data)
