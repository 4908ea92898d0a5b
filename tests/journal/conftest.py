"""A journal in a temporary directory, things to put in it, and a transport that answers as it is told."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outrider_sidecar.journal import Journal
from outrider_wire.batch import Batch, BatchFacts, open_envelope, peek_header, verify_envelope
from outrider_wire.enrolment import EnrolAnswer, EnrolRequest, Receipt
from outrider_wire.events import ProcessExecuted, ProcessId
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

LIMIT_BYTES = 8 << 20


@pytest.fixture
def facts() -> BatchFacts:
    """What a sidecar tells of itself."""
    return BatchFacts(interval_s=10.0)


@pytest.fixture
def finding() -> Callable[[str], Finding]:
    """Makes a finding with the given id."""

    def make(name: str) -> Finding:
        return Finding(
            id=name, type="Execution:Runtime/X", rule="x", severity="LOW", title="x", at="2026-01-01T00:00:00Z",
            process=None, container=None, evidence={}, attribution="exact",
        )  # fmt: skip

    return make


@pytest.fixture
def event() -> ProcessExecuted:
    """An event of an ordinary size."""
    return ProcessExecuted(at_ns=1, process=ProcessId(1, 2), argv=("/bin/true", os.urandom(60).hex()))


class Opener:
    """Opens journals in one place, as processes one after another would; the last one is closed first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.last: Journal | None = None

    def __call__(self, key: SigningKey, limit_bytes: int = LIMIT_BYTES) -> Journal:
        self.close()
        self.last = Journal.open(self.root, limit_bytes=limit_bytes, key=key, clock_ns=lambda: 1)
        return self.last

    def close(self) -> None:
        """Let the journal go, as the death of its process would."""
        if self.last is not None:
            self.last.close()
            self.last = None


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Opener]:
    """Opens journals in a temporary directory."""
    opens = Opener(tmp_path / "journal")
    yield opens
    opens.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB that can really be filled."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.decode()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


class ScriptedTransport:
    """A collector in memory: `script` holds an exception, or None, for each request to come; then all is taken."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)
        self.batches: list[bytes] = []
        self.enrolled: list[EnrolRequest] = []
        self.requests = 0
        self.refuse_enrolment: Exception | None = None

    def enrol(self, request: EnrolRequest, *, timeout_s: float) -> EnrolAnswer:
        """Take any key, unless told otherwise."""
        if self.refuse_enrolment:
            raise self.refuse_enrolment
        self.enrolled.append(request)
        return EnrolAnswer("", True, "enrolled", 0)

    def send(self, batch: bytes, *, timeout_s: float) -> Receipt:
        """Do what the script says."""
        self.requests += 1
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        self.batches.append(batch)
        header, _, _ = peek_header(batch)
        return Receipt(header.agent, header.sequence)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def sequences(self) -> list[int]:
        """Numbers of the batches taken."""
        return [peek_header(batch)[0].sequence for batch in self.batches]


@pytest.fixture
def scripted() -> type[ScriptedTransport]:
    """The class of scripted transports."""
    return ScriptedTransport


@pytest.fixture
def reads() -> Callable[[bytes, SigningKey], Batch]:
    """Verifies a batch as a collector does."""
    return lambda data, key: verify_envelope(open_envelope(data), key.public)
