"""The envelope: what was sealed comes back, what was touched is refused, in the promised order."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_wire.batch import (
    MAGIC,
    MAX_BATCH_BYTES,
    Batch,
    BatchFacts,
    SealedBatch,
    open_envelope,
    peek_header,
    read_events,
    read_findings,
    seal_batch,
    sign_batch,
    verify_envelope,
)
from outrider_wire.blobs import BlobFacts, make_blob
from outrider_wire.errors import WireError
from outrider_wire.events import Event
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

KEY = SigningKey.from_seed(bytes(range(32)))

SMALL = seal_batch(KEY, BatchFacts(interval_s=1.0), sequence=3, previous=bytes(32), sealed_at_ns=1, lost={"x": 1})


def receive(data: bytes, key: SigningKey = KEY) -> tuple[Batch, list[Finding], list[Event]]:
    """All that a collector does to read a batch."""
    batch = verify_envelope(open_envelope(data), key.public)
    return batch, read_findings(batch), read_events(batch)


def refusal(data: bytes, key: SigningKey = KEY) -> str:
    """The code of the WireError that reading these bytes raises."""
    with pytest.raises(WireError) as caught:
        receive(data, key)
    return caught.value.code


def test_a_sealed_batch_reads_back_as_it_was(sealed: SealedBatch, findings: list[Finding], events: list[Event]) -> None:
    """Header, findings and events survive the journey, and the digest is the one the next batch will name."""
    batch, found, seen = receive(sealed.data)
    assert (batch.header, found, seen) == (sealed.header, findings, events)
    assert batch.digest == sealed.digest
    assert peek_header(sealed.data) == (sealed.header, sealed.digest, sealed.signed_end)


def test_shed_blobs_leave_the_chain_whole(sealed: SealedBatch, findings: list[Finding]) -> None:
    """Cutting the events, or both blobs, keeps signature and digest, and says how much is missing."""
    without_events, found, seen = receive(sealed.data[: sealed.findings_end])
    assert (found, seen, without_events.shed_events, without_events.shed_findings) == (findings, [], 3, 0)
    bare, found, seen = receive(sealed.data[: sealed.signed_end])
    assert (found, seen, bare.shed_events, bare.shed_findings) == ([], [], 3, 1)
    assert bare.digest == without_events.digest == sealed.digest


def test_every_cut_elsewhere_is_refused(sealed: SealedBatch) -> None:
    """A batch cut at any other byte is refused."""
    fine = {sealed.signed_end, sealed.findings_end, len(sealed.data)}
    for end in range(len(sealed.data)):
        if end not in fine:
            assert refusal(sealed.data[:end]) in {"bad-magic", "truncated", "bad-header"}


def test_every_flipped_byte_is_refused(sealed: SealedBatch) -> None:
    """No byte of a batch can be changed unnoticed."""
    for index in range(len(sealed.data)):
        changed = bytearray(sealed.data)
        changed[index] ^= 0x41
        assert refusal(bytes(changed))


@given(st.binary(max_size=400))
def test_garbage_is_refused_and_nothing_else(garbage: bytes) -> None:
    """Any bytes, with or without the magic in front, raise WireError and only that."""
    assert refusal(garbage)
    assert refusal(MAGIC + garbage)
    assert refusal(MAGIC + len(garbage).to_bytes(4, "big") + garbage + bytes(64))


@given(st.data())
def test_a_mutated_batch_is_refused(data: st.DataObject) -> None:
    """Bytes replaced, taken out or put in anywhere raise WireError and only that."""
    start = data.draw(st.integers(0, len(SMALL.data)))
    end = data.draw(st.integers(start, len(SMALL.data)))
    changed = SMALL.data[:start] + data.draw(st.binary(max_size=40)) + SMALL.data[end:]
    if changed != SMALL.data:
        assert refusal(changed)


@given(st.binary(max_size=300), st.integers(0, 5), st.integers(0, 1000))
def test_signed_nonsense_is_refused(raw: bytes, count: int, raw_size: int) -> None:
    """An enrolled agent that signs a blob of nonsense gets a WireError, whatever its header claims."""
    _, good = make_blob([b"\x01"])
    for blob in (raw, good):
        import hashlib

        facts = BlobFacts(count, hashlib.sha256(blob).digest(), len(blob), raw_size)
        header = msgspec.structs.replace(SMALL.header, findings=facts)
        if blob:
            assert refusal(sign_batch(KEY, header, blob, b"").data)


def test_refusals_come_in_order() -> None:
    """Each kind of wrong batch gets its own code, cheapest check first."""
    other = SigningKey.generate()
    assert refusal(bytes(MAX_BATCH_BYTES + 1)) == "too-large"
    assert refusal(b"PK\x03\x04" + bytes(100)) == "bad-magic"
    assert refusal(b"ORB2" + SMALL.data[4:]) == "unknown-version"
    assert refusal(MAGIC + b"\xff\xff\xff\xff" + bytes(100)) == "too-large"
    assert refusal(SMALL.data, other) == "bad-signature"
    version_2 = msgspec.structs.replace(SMALL.header, version=2)
    assert refusal(sign_batch(KEY, version_2, b"", b"").data) == "unknown-version"


def test_a_header_that_names_another_agent_is_refused() -> None:
    """A key cannot speak under another's id."""
    header = msgspec.structs.replace(SMALL.header, agent="0" * 32)
    assert refusal(sign_batch(KEY, header, b"", b"").data) == "bad-signature"


@pytest.mark.parametrize(
    "change",
    [{"sequence": -1}, {"previous": b"x"}, {"interval_s": 0.0}, {"interval_s": float("nan")}, {"lost": {"a": -1}},
     {"recovered_from": "../x"}, {"sealed_at_ns": 1 << 63}, {"unguarded_for_ms": -5}, {"software": "v" * 200}],
)  # fmt: skip
def test_a_header_out_of_its_bounds_is_refused(change: dict[str, object]) -> None:
    """A signed header must still hold what its types say."""
    header = msgspec.structs.replace(SMALL.header, **change)
    assert refusal(sign_batch(KEY, header, b"", b"").data) == "bad-header"


def test_a_deeply_nested_header_is_refused() -> None:
    """Nesting that would exhaust the stack is a refusal like any other."""
    packed = b"\x81\xa1x" + b"\x91" * 60_000 + b"\xc0"
    assert refusal(MAGIC + len(packed).to_bytes(4, "big") + packed + bytes(64)) == "bad-header"
