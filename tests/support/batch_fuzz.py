"""A batch, made of whatever bytes a fuzzer thinks of, put to the acceptor and read: WireError, or it is a batch.

Run as a program it is libFuzzer with Python's coverage (atheris), whose options it takes: `-runs=`, `-seed=`,
`-max_total_time=`, a folder of inputs to begin with. The first byte of an input says how deep the rest goes: as it
comes, or behind a signature that holds, as header, as blob, as compressed records, past what would stop it sooner.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, get_args

import atheris

with atheris.instrument_imports(include=["outrider_wire", "outrider_collector.acceptor", "outrider_collector.limits"]):
    import hashlib
    import zlib

    import msgspec
    import msgspec.inspect

    from outrider_collector.acceptor import Acceptor
    from outrider_collector.keyring import Key
    from outrider_collector.limits import Limited, Limiter
    from outrider_wire.batch import MAGIC, BatchFacts, BatchHeader, SealedBatch, read_events, read_findings, seal_batch
    from outrider_wire.blobs import BlobFacts, pack_array
    from outrider_wire.errors import WireError
    from outrider_wire.events import Event
    from outrider_wire.findings import Finding
    from outrider_wire.signing import SigningKey

KEY: Final = SigningKey.from_seed(bytes(range(32)))
HEADER: Final = BatchHeader(
    version=1, agent=KEY.agent, sequence=1, previous=bytes(32), sealed_at_ns=1,
    findings=BlobFacts(), events=BlobFacts(), interval_s=1.0,
)  # fmt: skip
SETTLED: Final = 5_000
"""Inputs after which memory is what it is."""
KEPT: Final = ("-keep_seed=1", "-reduce_inputs=0")
"""What decodes records is C, of which the fuzzer sees nothing: good records are kept, though no line more is run."""
LOOK_EVERY: Final = 1_000
MAX_GROWTH_BYTES: Final = 96 << 20
"""The acceptor's memory of batches, when it is full, and what the fuzzer itself keeps."""


class OneKey:
    """A key ring with one agent."""

    def recall(self, agent: str) -> Key:
        """Its key; nobody else is enrolled."""
        if agent != KEY.agent:
            raise WireError("unknown-agent", "not enrolled")
        return Key(KEY.public, "live")


def signed(header: bytes, rest: bytes = b"") -> bytes:
    """An envelope whose signature holds, around anything."""
    body = MAGIC + len(header).to_bytes(4, "big") + header
    return body + KEY.sign(body) + rest


def as_it_comes(raw: bytes) -> bytes:
    """No signature holds."""
    return raw


def as_header(raw: bytes) -> bytes:
    """Signed, whatever it is."""
    return signed(raw)


def as_changed_header(raw: bytes) -> bytes:
    """A good header, some of whose bytes are others."""
    good = msgspec.msgpack.encode(HEADER)
    at = int.from_bytes(raw[:2], "big") % len(good)
    return signed(good[:at] + raw[3:] + good[at + (raw[2] if len(raw) > 2 else 0) :])


def as_blob(raw: bytes) -> bytes:
    """What is sent for compressed records; the header says of it what the first bytes say."""
    first, size, blob = raw[0] if raw else 0, int.from_bytes(raw[1:4], "big"), raw[4:]
    facts = BlobFacts(first & 0x7F, hashlib.sha256(blob).digest(), len(blob), size)
    return _with("events" if first & 0x80 else "findings", facts, blob)


def as_findings(raw: bytes) -> bytes:
    """Findings that inflate as they should, and may be of any kind."""
    return _with("findings", *_compressed(raw))


def as_events(raw: bytes) -> bytes:
    """Events, likewise."""
    return _with("events", *_compressed(raw))


def _compressed(raw: bytes) -> tuple[BlobFacts, bytes]:
    blob = zlib.compress(raw, 1)
    return BlobFacts(raw[0] & 0x0F if raw else 0, hashlib.sha256(blob).digest(), len(blob), len(raw)), blob


def _with(kind: str, facts: BlobFacts, blob: bytes) -> bytes:
    return signed(msgspec.msgpack.encode(msgspec.structs.replace(HEADER, **{kind: facts})), blob)


DEPTHS: Final = (as_it_comes, as_header, as_changed_header, as_blob, as_findings, as_events)


class Reader:
    """The acceptor and all that reads a batch behind it."""

    def __init__(self) -> None:
        keys: Any = OneKey()
        self._acceptor = Acceptor(keys, Limiter(1 << 20, 1 << 20), clock_ns=lambda: 1)
        self._seen, self._settled_bytes = 0, 0
        self.outcomes: dict[str, int] = {}

    def read(self, given: bytes) -> None:
        """Read one input: whatever is raised here but WireError and Limited ends the run."""
        deep = DEPTHS[given[0] % len(DEPTHS)] if given else as_it_comes
        try:
            batch = self._acceptor.check(deep(given[1:])).batch
            read_findings(batch)
            read_events(batch)
            outcome = "read"
        except WireError as error:
            outcome = error.code
        except Limited:
            outcome = "limited"
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self._look_at_memory()

    def _look_at_memory(self) -> None:
        self._seen += 1
        if self._seen == SETTLED:
            self._settled_bytes = resident_bytes()
        elif self._seen > SETTLED and not self._seen % LOOK_EVERY:
            grown = resident_bytes() - self._settled_bytes
            assert grown < MAX_GROWTH_BYTES, f"{grown} bytes more after {self._seen} inputs"


def resident_bytes() -> int:
    """What this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def example_of(kind: msgspec.inspect.Type) -> Any:
    """A small value of a type, with every field of a record that has no default."""
    match kind:
        case msgspec.inspect.StructType(cls=made, fields=fields):
            return made(**{each.name: example_of(each.type) for each in fields if each.required})
        case msgspec.inspect.UnionType(types=types):
            return example_of(types[0])
        case msgspec.inspect.LiteralType(values=values):
            return values[0]
        case msgspec.inspect.IntType():
            return 1
        case msgspec.inspect.StrType():
            return "x"
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.FloatType():
            return 0.5
        case msgspec.inspect.NoneType():
            return None
        case _:
            return {} if isinstance(kind, msgspec.inspect.DictType) else ()


def example_events() -> list[bytes]:
    """One event of each kind there is."""
    return [msgspec.msgpack.encode(example_of(msgspec.inspect.type_info(kind))) for kind in get_args(Event)]


def seeds() -> list[bytes]:
    """Good inputs of every depth, to begin with."""
    findings = [msgspec.msgpack.encode(example_of(msgspec.inspect.type_info(Finding)))]
    events = example_events()
    whole: SealedBatch = seal_batch(
        KEY,
        BatchFacts(interval_s=1.0),
        sequence=1,
        previous=bytes(32),
        sealed_at_ns=1,
        findings=findings,
        events=events,
    )
    packed = pack_array(events[:3])
    return [
        b"\x00" + whole.data,
        b"\x01" + msgspec.msgpack.encode(HEADER),
        b"\x02\x00\x01\x01\x07",
        b"\x03\x83" + len(packed).to_bytes(3, "big") + zlib.compress(packed),
        b"\x04" + pack_array(findings),
        *(b"\x05" + pack_array([event]) for event in events),
    ]


def fuzz(folder: str) -> None:
    """Fuzz from good inputs in this folder; libFuzzer ends the process, with 0 where nothing was found."""
    reader = Reader()
    for number, seed in enumerate(seeds()):
        (Path(folder) / str(number)).write_bytes(seed)
        reader.read(seed)
    print("the seeds:", dict(sorted(reader.outcomes.items())), flush=True)
    atheris.Setup([*sys.argv, *KEPT, folder], reader.read)
    atheris.Fuzz()


def main() -> None:
    """Fuzz in a child, since that ends without a word to what is around it, and tidy up behind it."""
    with tempfile.TemporaryDirectory(prefix="outrider-fuzz-") as folder:
        pid = os.fork()
        if not pid:
            fuzz(folder)
        status = os.waitpid(pid, 0)[1]
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
