"""Blobs: the records of a batch, packed, compressed and bounded.

A blob is a zlib stream (level 1: the sidecar pays for it) of one msgpack array of encoded records. The signed
header holds its facts, so a blob may be left out later without touching what was signed; no records make an
empty blob of no bytes. Nothing is inflated past what the header says, and the header may not say more than the
bounds here.
"""

import hashlib
import zlib
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from outrider_wire.errors import WireError

MAX_RAW_BYTES = 16 << 20
"""Longest blob after decompression, in bytes."""

MAX_RECORDS = 100_000
"""Most records in one blob."""

ZLIB_LEVEL = 1


class BlobFacts(Struct, frozen=True, gc=False):
    """What the header says of a blob: records in it, SHA-256 and length as sent, and length once inflated."""

    count: Annotated[int, Meta(ge=0, le=MAX_RECORDS)] = 0
    sha256: Annotated[bytes, Meta(max_length=32)] = b""
    size: Annotated[int, Meta(ge=0, le=MAX_RAW_BYTES)] = 0
    raw_size: Annotated[int, Meta(ge=0, le=MAX_RAW_BYTES)] = 0


NO_BLOB = BlobFacts()


def pack_array(items: Sequence[bytes]) -> bytes:
    """Join records that are msgpack already into one msgpack array."""
    count = len(items)
    if count < 16:
        head = bytes([0x90 | count])
    elif count < 1 << 16:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    return head + b"".join(items)


def array_length(raw: bytes) -> int:
    """How many items the msgpack array at the start of `raw` claims to hold. Raises ValueError when it is none."""
    first = raw[0] if raw else 0
    if 0x90 <= first <= 0x9F:
        return first & 0x0F
    width = {0xDC: 2, 0xDD: 4}.get(first, 0)
    if not width or len(raw) <= width:
        raise ValueError("not a msgpack array")
    return int.from_bytes(raw[1 : 1 + width], "big")


def make_blob(items: Sequence[bytes]) -> tuple[BlobFacts, bytes]:
    """Compress encoded records into a blob, with the facts for the header."""
    if not items:
        return NO_BLOB, b""
    raw = pack_array(items)
    blob = zlib.compress(raw, ZLIB_LEVEL)
    return BlobFacts(len(items), hashlib.sha256(blob).digest(), len(blob), len(raw)), blob


def open_blob(blob: bytes, facts: BlobFacts) -> bytes:
    """Inflate a blob to exactly what its facts say: one msgpack array of `facts.count` items.

    Raises:
        WireError: `bad-length`, `bad-digest`, `bad-blob` (no such stream, or a longer one) or `bad-count`.
    """
    if len(blob) != facts.size:
        raise WireError("bad-length", f"a blob of {len(blob)} bytes where {facts.size} were announced")
    if hashlib.sha256(blob).digest() != facts.sha256:
        raise WireError("bad-digest", "a blob is not the one that was signed")
    raw = _inflate(blob, facts.raw_size)
    try:
        count = array_length(raw)
    except ValueError as error:
        raise WireError("bad-blob", str(error)) from error
    if count != facts.count:
        raise WireError("bad-count", f"a blob of {count} records where {facts.count} were announced")
    return raw


def _inflate(blob: bytes, raw_size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(blob, raw_size + 1)
    except zlib.error as error:
        raise WireError("bad-blob", "a blob is no zlib stream") from error
    if len(raw) != raw_size or not stream.eof or stream.unused_data:
        raise WireError("bad-blob", "a blob does not inflate to its announced length")
    return raw
