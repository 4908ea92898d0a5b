"""The list document: the threat lists of a collector, one signed and numbered whole, as it travels to the sidecars.

    magic `ORL1` | u32 header length | header (msgpack) | signature (64) | table (zlib)

The length is big-endian. The signature is Ed25519 over a domain of its own, magic, length and header; the header holds
the table's digest and length. The document's name is the SHA-256 of its signed bytes. Versions only grow: whoever has
one takes none that is not newer, so that an old document, however well signed, cannot bring an old list back.

The bytes follow from the contents alone, for one version of zlib: the same lists are the same document.
"""

import hashlib
import zlib
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from outrider_wire.errors import WireError
from outrider_wire.listtable import ListTable, TableShape
from outrider_wire.signing import SIGNATURE_BYTES, SigningKey, verify

MAGIC: Final = b"ORL1"
FORMAT: Final = 1
MAX_HEADER_BYTES: Final = 4 << 10
MAX_TABLE_BYTES: Final = 48 << 20
"""Longest table, in bytes, once inflated: a million domains, a million networks of IPv4, a million files and more."""
MAX_DOCUMENT_BYTES: Final = 48 << 20
LISTS_CONTENT_TYPE: Final = "application/vnd.outrider.lists"
CHUNK_BYTES: Final = 64 << 10

_DOMAIN: Final = b"outrider lists 1\0"
_PREFIX_BYTES: Final = len(MAGIC) + 4

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Version = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]


class ListsNotice(Struct, frozen=True):
    """Which document a collector has now: version, name, and length in bytes."""

    version: Version
    digest: Digest
    size: Annotated[int, Meta(ge=1, le=MAX_DOCUMENT_BYTES)]


class ListHeader(Struct, frozen=True, kw_only=True):
    """The signed part of a document. `sha256`, `size` are of the table as it is sent."""

    format: Annotated[int, Meta(ge=1, le=255)]
    version: Version
    shape: TableShape
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]
    size: Annotated[int, Meta(ge=1, le=MAX_DOCUMENT_BYTES)]


class ListDocument(Struct, frozen=True):
    """A document whose signature held: what it says, and its name."""

    header: ListHeader
    digest: str
    table: ListTable


_header_decoder = msgspec.msgpack.Decoder(ListHeader)


def seal_lists(key: SigningKey, table: bytes, shape: TableShape, *, version: int) -> tuple[bytes, ListsNotice]:
    """Sign a table. Raises ValueError when it would break a bound."""
    if len(table) > MAX_TABLE_BYTES:
        raise ValueError(f"a table of {len(table)} bytes; at most {MAX_TABLE_BYTES} are sent")
    blob = zlib.compress(table, 6)
    header = ListHeader(
        format=FORMAT, version=version, shape=shape, sha256=hashlib.sha256(blob).digest(), size=len(blob)
    )
    packed = msgspec.msgpack.encode(header)
    signed = MAGIC + len(packed).to_bytes(4, "big") + packed
    data = b"".join((signed, key.sign(_DOMAIN + signed), blob))
    if len(packed) > MAX_HEADER_BYTES or len(data) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"a list document of {len(data)} bytes")
    return data, ListsNotice(version, hashlib.sha256(signed).hexdigest(), len(data))


def open_lists(data: bytes | memoryview, public: bytes, *, max_table_bytes: int = MAX_TABLE_BYTES) -> ListDocument:
    """Check a document and lay out its table; nothing is inflated before its signature and digest held.

    Raises:
        WireError: `too-large`, `truncated`, `bad-magic`, `unknown-version`, `bad-header`, `bad-signature`,
            `bad-digest`, `bad-blob` or `bad-table`.
    """
    signed, signature, blob = _take_apart(memoryview(data))
    verify(public, signature, _DOMAIN + signed)
    try:
        header = _header_decoder.decode(signed[_PREFIX_BYTES:])
    except (ValueError, RecursionError, OverflowError) as error:
        raise WireError("bad-header", str(error)[:200]) from error
    if header.format != FORMAT:
        raise WireError("unknown-version", f"format {header.format}; this end reads {FORMAT}")
    if header.shape.size > max_table_bytes:
        raise WireError("too-large", f"a table of {header.shape.size} bytes; at most {max_table_bytes} are taken")
    if len(blob) != header.size:
        raise WireError("truncated", f"a table of {len(blob)} bytes where {header.size} were announced")
    if hashlib.sha256(blob).digest() != header.sha256:
        raise WireError("bad-digest", "the table is not the one that was signed")
    table = ListTable(_inflate(blob, header.shape.size), header.shape)
    return ListDocument(header, hashlib.sha256(signed).hexdigest(), table)


def _take_apart(data: memoryview) -> tuple[bytes, bytes, memoryview]:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise WireError("too-large", f"a document of {len(data)} bytes; at most {MAX_DOCUMENT_BYTES} are taken")
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise WireError("bad-magic", "this is no list document that begins with ORL1")
    length = int.from_bytes(data[len(MAGIC) : _PREFIX_BYTES], "big")
    if length > MAX_HEADER_BYTES:
        raise WireError("too-large", f"a header of {length} bytes; at most {MAX_HEADER_BYTES} are taken")
    signed_end = _PREFIX_BYTES + length
    if len(data) < signed_end + SIGNATURE_BYTES:
        raise WireError("truncated", "the document ends before its signature does")
    blob_at = signed_end + SIGNATURE_BYTES
    return bytes(data[:signed_end]), bytes(data[signed_end:blob_at]), data[blob_at:]


def _inflate(blob: memoryview, size: int) -> bytearray:
    """Exactly `size` bytes, piece by piece into their place: there is never a second copy of the table."""
    stream = zlib.decompressobj()
    table = bytearray(size)
    at = 0
    try:
        for part in _pieces(stream, blob):
            if at + len(part) > size:
                raise WireError("bad-blob", "the table is longer than announced")
            table[at : at + len(part)] = part
            at += len(part)
    except zlib.error as error:
        raise WireError("bad-blob", "the table is no zlib stream") from error
    if at != size or not stream.eof or stream.unused_data:
        raise WireError("bad-blob", "the table does not inflate to its announced length")
    return table


def _pieces(stream: "zlib._Decompress", blob: memoryview) -> Iterable[bytes]:
    for start in range(0, len(blob), CHUNK_BYTES):
        if stream.eof:
            raise WireError("bad-blob", "there is more behind the table")
        waiting: bytes | memoryview = blob[start : start + CHUNK_BYTES]
        while len(waiting) and not stream.eof:
            yield stream.decompress(waiting, CHUNK_BYTES)
            waiting = stream.unconsumed_tail
    while not stream.eof and (rest := stream.decompress(b"", CHUNK_BYTES)):
        yield rest
