"""A fixed key, fixed records and a way to seal them, so that bytes come out the same each time."""

import msgspec
import pytest

from outrider_wire.batch import FIRST_PREVIOUS, BatchFacts, SealedBatch, SenseView, seal_batch
from outrider_wire.events import ConnectionOpened, Event, FileFacts, ProcessExecuted, ProcessId, SightLost
from outrider_wire.findings import Ancestor, ContainerView, Finding, ProcessView, TaskView
from outrider_wire.signing import SigningKey

AT_NS = 1_767_225_600_123_456_789

TASK = TaskView(arn="arn:aws:ecs:eu-west-1:111122223333:task/prod/0123456789abcdef0123456789abcdef", cluster="prod")


@pytest.fixture
def key() -> SigningKey:
    """The key that the golden files are signed with."""
    return SigningKey.from_seed(bytes(range(32)))


@pytest.fixture
def facts() -> BatchFacts:
    """What a sidecar tells of itself."""
    senses = (SenseView("processes", "attach", True, "PTRACE_SEIZE works"), SenseView("packets", "tap", False, "EPERM"))
    return BatchFacts(interval_s=10.0, task=TASK, capabilities=senses, unguarded_for_ms=12, software="0.1.0")


@pytest.fixture
def findings() -> list[Finding]:
    """One finding with everything in it."""
    process = ProcessView(
        pid=42,
        start_ticks=1001,
        name="sh\\x01",
        exe="/tmp/é",
        cmdline="/tmp/é --x",
        cwd="/",
        uid=0,
        ancestry=[Ancestor(1, "pause", "/pause", "/pause")],
    )
    return [
        Finding(
            id="f-1",
            type="Execution:Runtime/NewBinaryExecuted",
            rule="new_binary_executed",
            severity="HIGH",
            title="A program that is not of the image was run",
            at="2026-01-01T00:00:00.123456789Z",
            process=process,
            container=ContainerView("0123-1", "web", "img"),
            evidence={"path": "/tmp/é", "size": 3, "new": True, "none": None, "list": ["a"], "ratio": 0.5},
            attribution="exact",
        )
    ]


@pytest.fixture
def events() -> list[Event]:
    """A few events of different kinds."""
    return [
        ProcessExecuted(at_ns=AT_NS, process=ProcessId(42, 1001), argv=("/tmp/é", "--x"), exe=FileFacts("/tmp/é")),
        ConnectionOpened(at_ns=AT_NS, source="127.0.0.1", source_port=1, destination="::1", destination_port=65535),
        SightLost(at_ns=AT_NS, sense="files", reason="queue overflow", lost=7),
    ]


@pytest.fixture
def sealed(key: SigningKey, facts: BatchFacts, findings: list[Finding], events: list[Event]) -> SealedBatch:
    """The batch of these."""
    return seal_batch(
        key,
        facts,
        sequence=0,
        previous=FIRST_PREVIOUS,
        sealed_at_ns=AT_NS,
        findings=[msgspec.msgpack.encode(each) for each in findings],
        events=[msgspec.msgpack.encode(each) for each in events],
        lost={"pipe": 3},
    )
