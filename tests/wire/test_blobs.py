"""Blobs: bounded in what they inflate to, exact in what they hold."""

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_wire.blobs import MAX_RAW_BYTES, BlobFacts, array_length, make_blob, open_blob, pack_array
from outrider_wire.errors import WireError


def facts_of(blob: bytes, count: int, raw_size: int) -> BlobFacts:
    """Facts that fit the blob as sent, with the given claims."""
    return BlobFacts(count, hashlib.sha256(blob).digest(), len(blob), raw_size)


@pytest.mark.parametrize("count", [1, 15, 16, 65_535, 65_536])
def test_any_number_of_records_comes_back(count: int) -> None:
    """Every width of the array's head is written and read."""
    facts, blob = make_blob([b"\xc0"] * count)
    raw = open_blob(blob, facts)
    assert array_length(raw) == facts.count == count
    assert raw == pack_array([b"\xc0"] * count)


def test_no_records_make_no_bytes() -> None:
    """An empty blob is empty, so that a heartbeat is a header alone."""
    assert make_blob([]) == (BlobFacts(), b"")


def test_a_bomb_is_not_inflated() -> None:
    """A stream that inflates to more than announced is given up at the announced length."""
    bomb = zlib.compress(bytes(MAX_RAW_BYTES * 4), 9)
    with pytest.raises(WireError, match="bad-blob"):
        open_blob(bomb, facts_of(bomb, 1, 100))


@pytest.mark.parametrize("blob", [b"", zlib.compress(b"\x91\xc0") + b"x", zlib.compress(b"\x91\xc0")[:-1], b"x" * 9])
def test_a_stream_that_is_not_exactly_one_is_refused(blob: bytes) -> None:
    """Trailing bytes, a torn end and no stream at all are refused."""
    with pytest.raises(WireError, match="bad-blob"):
        open_blob(blob, facts_of(blob, 1, 2))


def test_a_wrong_count_is_refused() -> None:
    """The array must hold as many records as the header says."""
    blob = zlib.compress(pack_array([b"\xc0"] * 3))
    with pytest.raises(WireError, match="bad-count"):
        open_blob(blob, facts_of(blob, 4, 4))


@given(st.binary(max_size=20))
def test_an_array_head_is_read_or_refused(raw: bytes) -> None:
    """`array_length` gives a number or raises ValueError."""
    try:
        assert array_length(raw) >= 0
    except ValueError:
        assert raw[:1] not in (b"\x90", b"\x9f")
