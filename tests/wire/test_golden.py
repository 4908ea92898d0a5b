"""Golden files: bytes of the first release, which every later one must read, and make again."""

from pathlib import Path

import msgspec

from outrider_wire.batch import SealedBatch, open_envelope, read_events, read_findings, sign_batch, verify_envelope
from outrider_wire.enrolment import encode_request, make_request, read_request
from outrider_wire.findings import TaskView
from outrider_wire.signing import SigningKey

GOLDEN = Path(__file__).parent / "golden"


def test_the_golden_batch_decodes_for_ever(key: SigningKey) -> None:
    """The committed batch reads as its committed JSON says; fields added since hold their defaults."""
    batch = verify_envelope(open_envelope((GOLDEN / "batch-1.bin").read_bytes()), key.public)
    told = {"header": batch.header, "findings": read_findings(batch), "events": read_events(batch)}
    now = msgspec.json.decode(msgspec.json.encode(told))
    then = msgspec.json.decode((GOLDEN / "batch-1.json").read_bytes())
    assert includes(now, then)


def test_the_golden_batch_is_made_again(key: SigningKey, sealed: SealedBatch) -> None:
    """The same header and blobs give the same bytes; the blobs hold the same records, however they are deflated."""
    golden = (GOLDEN / "batch-1.bin").read_bytes()
    batch = verify_envelope(open_envelope(golden), key.public)
    assert sign_batch(key, batch.header, batch.findings, batch.events).data == golden
    again = verify_envelope(open_envelope(sealed.data), key.public)
    assert (read_findings(again), read_events(again)) == (read_findings(batch), read_events(batch))


def test_the_golden_enrolment_is_read_and_made_again(key: SigningKey) -> None:
    """The committed enrolment still holds, byte for byte."""
    golden = (GOLDEN / "enrolment-1.bin").read_bytes()
    resume = SigningKey.from_seed(bytes(range(32, 64)))
    made = make_request(key, resume, token="golden-token", task=TaskView(arn="arn:golden"), made_at_ns=1)
    assert encode_request(made) == golden
    assert read_request(golden) == made


def includes(now: object, then: object) -> bool:
    """True when everything that was there then is there now, with the same value."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(name in now and includes(now[name], then[name]) for name in then)
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(includes, now, then))
    return now == then
