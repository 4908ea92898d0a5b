"""The batch: a signed, numbered, chained slice of what one agent saw.

On the wire a batch is

    magic `ORB1` | u32 header length | header (msgpack) | signature (64) | findings blob | events blob

with the length big-endian. The signature is Ed25519 over magic, length and header; the header holds the digests
of the blobs. So the events blob, or both, may be cut off the end later (a full journal does that by truncating a
file) and the chain still holds: the collector sees what was there and that it is gone. The next batch's
`previous` is the SHA-256 of this one's signed bytes.

A receiver works in this order and stops at the first refusal: size, magic and version, header length, who claims
to speak, that agent's key, signature, header, chain, digests, bounded inflation, typed decoding.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from outrider_wire.blobs import BlobFacts, make_blob, open_blob
from outrider_wire.errors import WireError
from outrider_wire.events import Event
from outrider_wire.findings import Finding, TaskView
from outrider_wire.signing import SIGNATURE_BYTES, SigningKey, agent_id, verify

MAGIC = b"ORB1"

VERSION = 1

MAX_BATCH_BYTES = 8 << 20
"""Longest batch on the wire, in bytes."""

MAX_HEADER_BYTES = 64 << 10
"""Longest header, in bytes."""

FIRST_PREVIOUS = bytes(32)
"""`previous` of an agent's batch 0."""

CONTENT_TYPE = "application/vnd.outrider.batch"

_PREFIX_BYTES = len(MAGIC) + 4

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0, le=(1 << 53))]
AtNs = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
AgentId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]


class SenseView(Struct, frozen=True, gc=False):
    """What one sense can see where the agent runs, and why not more."""

    sense: str
    sensor: str
    available: bool
    reason: str = ""


class BatchFacts(Struct, frozen=True, kw_only=True):
    """What the engine tells of itself in each batch.

    `interval_s` is a promise: the next batch comes within it. `unguarded_for_ms` is how long the guarded
    program ran before the agent saw it. `software` is the agent's own version.
    """

    interval_s: float
    task: TaskView | None = None
    capabilities: tuple[SenseView, ...] = ()
    unguarded_for_ms: int = 0
    software: str = ""


class BatchHeader(Struct, frozen=True, kw_only=True):
    """The signed part of a batch.

    `lost` counts by sense what was lost since the batch before. `final` is a good-bye. `recovered_from` names
    the dead predecessor whose unsealed records these are, or is empty.
    """

    version: Annotated[int, Meta(ge=1, le=255)]
    agent: AgentId
    sequence: AtNs
    previous: Annotated[bytes, Meta(min_length=32, max_length=32)]
    sealed_at_ns: AtNs
    findings: BlobFacts
    events: BlobFacts
    interval_s: Annotated[float, Meta(gt=0, le=86_400)]
    task: TaskView | None = None
    lost: Annotated[dict[str, Count], Meta(max_length=256)] = {}
    unguarded_for_ms: Count = 0
    capabilities: Annotated[tuple[SenseView, ...], Meta(max_length=64)] = ()
    software: Annotated[str, Meta(max_length=128)] = ""
    final: bool = False
    recovered_from: Annotated[str, Meta(pattern=r"^([0-9a-f]{32})?\Z")] = ""


class SealedBatch(Struct, frozen=True):
    """A batch as its agent made it: `data` is what travels, `digest` what the next one calls `previous`.

    `findings_end` and `signed_end` are the offsets at which `data` may be cut to shed events, or findings too.
    """

    header: BatchHeader
    data: bytes
    digest: bytes
    signed_end: int
    findings_end: int


class Envelope(Struct, frozen=True):
    """A batch that has the right shape and says who sent it; nothing in it is believed yet."""

    agent: str
    signed: bytes
    signature: bytes
    rest: bytes


class Batch(Struct, frozen=True):
    """A batch whose signature holds. A blob that was shed is empty where the header announces bytes."""

    header: BatchHeader
    digest: bytes
    findings: bytes
    events: bytes

    @property
    def shed_findings(self) -> int:
        """How many findings were cut off before it was sent."""
        return 0 if self.findings else self.header.findings.count

    @property
    def shed_events(self) -> int:
        """How many events were cut off before it was sent."""
        return 0 if self.events else self.header.events.count


class _Claim(Struct, frozen=True):
    """The two fields that are read before the signature is checked."""

    version: int
    agent: str


_header_decoder = msgspec.msgpack.Decoder(BatchHeader)
_claim_decoder = msgspec.msgpack.Decoder(_Claim)
_findings_decoder = msgspec.msgpack.Decoder(list[Finding])
_events_decoder = msgspec.msgpack.Decoder(list[Event])


def seal_batch(
    key: SigningKey,
    facts: BatchFacts,
    *,
    sequence: int,
    previous: bytes,
    sealed_at_ns: int,
    findings: Sequence[bytes] = (),
    events: Sequence[bytes] = (),
    lost: dict[str, int] | None = None,
    final: bool = False,
    recovered_from: str = "",
) -> SealedBatch:
    """Make a batch of records that are msgpack already. Raises ValueError when it would break a bound."""
    finding_facts, findings_blob = make_blob(findings)
    event_facts, events_blob = make_blob(events)
    header = BatchHeader(
        version=VERSION,
        agent=key.agent,
        sequence=sequence,
        previous=previous,
        sealed_at_ns=sealed_at_ns,
        findings=finding_facts,
        events=event_facts,
        interval_s=facts.interval_s,
        task=facts.task,
        lost=lost or {},
        unguarded_for_ms=facts.unguarded_for_ms,
        capabilities=facts.capabilities,
        software=facts.software,
        final=final,
        recovered_from=recovered_from,
    )
    return sign_batch(key, header, findings_blob, events_blob)


def sign_batch(key: SigningKey, header: BatchHeader, findings_blob: bytes, events_blob: bytes) -> SealedBatch:
    """Put the envelope around a header and its two blobs. Raises ValueError when it would be too long."""
    packed = msgspec.msgpack.encode(header)
    signed = MAGIC + len(packed).to_bytes(4, "big") + packed
    signature = key.sign(signed)
    data = b"".join((signed, signature, findings_blob, events_blob))
    if len(packed) > MAX_HEADER_BYTES or len(data) > MAX_BATCH_BYTES:
        raise ValueError(f"a batch of {len(data)} bytes with a header of {len(packed)}")
    signed_end = len(signed) + SIGNATURE_BYTES
    return SealedBatch(header, data, hashlib.sha256(signed).digest(), signed_end, signed_end + len(findings_blob))


def open_envelope(data: bytes, *, max_bytes: int = MAX_BATCH_BYTES) -> Envelope:
    """Take a batch apart as far as is needed to look up its sender's key.

    Raises:
        WireError: `too-large`, `truncated`, `bad-magic`, `unknown-version` or `bad-header`.
    """
    if len(data) > max_bytes:
        raise WireError("too-large", f"a batch of {len(data)} bytes; at most {max_bytes} are taken")
    if data[: len(MAGIC)] != MAGIC:
        known = data[:3] == MAGIC[:3] and len(data) > 3
        raise WireError("unknown-version" if known else "bad-magic", "this is no batch that begins with ORB1")
    length = int.from_bytes(data[len(MAGIC) : _PREFIX_BYTES], "big")
    if length > MAX_HEADER_BYTES:
        raise WireError("too-large", f"a header of {length} bytes; at most {MAX_HEADER_BYTES} are taken")
    signed_end = _PREFIX_BYTES + length
    if len(data) < signed_end + SIGNATURE_BYTES:
        raise WireError("truncated", "the batch ends before its signature does")
    claim = _decode(_claim_decoder, data[_PREFIX_BYTES:signed_end], "bad-header")
    if claim.version != VERSION:
        raise WireError("unknown-version", f"version {claim.version}; this end speaks version {VERSION}")
    signature_end = signed_end + SIGNATURE_BYTES
    return Envelope(claim.agent, data[:signed_end], data[signed_end:signature_end], data[signature_end:])


def verify_envelope(envelope: Envelope, public: bytes) -> Batch:
    """Check the signature, then read the header and find the blobs it announces.

    Raises:
        WireError: `bad-signature`, `bad-header` or `truncated` (blobs that are neither whole nor shed).
    """
    verify(public, envelope.signature, envelope.signed)
    header = _decode(_header_decoder, envelope.signed[_PREFIX_BYTES:], "bad-header")
    if header.agent != agent_id(public):
        raise WireError("bad-signature", "the header names another agent than the key's")
    findings, events = _split_blobs(envelope.rest, header)
    return Batch(header, hashlib.sha256(envelope.signed).digest(), findings, events)


def peek_header(data: bytes) -> tuple[BatchHeader, bytes, int]:
    """The header, digest and end of signature of a batch from one's own disk; the signature is not checked.

    Raises:
        WireError: as `open_envelope`, or `bad-header`.
    """
    envelope = open_envelope(data)
    header = _decode(_header_decoder, envelope.signed[_PREFIX_BYTES:], "bad-header")
    return header, hashlib.sha256(envelope.signed).digest(), len(envelope.signed) + SIGNATURE_BYTES


def read_findings(batch: Batch) -> list[Finding]:
    """The findings of a batch; none when they were shed. Raises WireError."""
    if not batch.findings:
        return []
    return _decode(_findings_decoder, open_blob(batch.findings, batch.header.findings), "bad-record")


def read_events(batch: Batch) -> list[Event]:
    """The events of a batch; none when they were shed. Raises WireError."""
    if not batch.events:
        return []
    return _decode(_events_decoder, open_blob(batch.events, batch.header.events), "bad-record")


def _split_blobs(rest: bytes, header: BatchHeader) -> tuple[bytes, bytes]:
    whole = header.findings.size + header.events.size
    if len(rest) not in (whole, header.findings.size, 0):
        raise WireError("truncated", f"{len(rest)} bytes of blobs where {whole} were announced")
    return rest[: header.findings.size], rest[header.findings.size :]


def _decode(decoder: msgspec.msgpack.Decoder[T], raw: bytes, code: str) -> T:
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError, OverflowError) as error:
        raise WireError(code, str(error)[:200]) from error
