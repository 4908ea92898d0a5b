"""Agents that speak to a collector, and a real collector on loopback to speak to."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from outrider_collector.store.agents import Agent
from outrider_wire.batch import CONTENT_TYPE, FIRST_PREVIOUS, BatchFacts, SealedBatch, seal_batch
from outrider_wire.enrolment import ENROL_CONTENT_TYPE, EnrolRequest, encode_request, make_request
from outrider_wire.events import Event, SightLost
from outrider_wire.findings import Finding, TaskView
from outrider_wire.signing import SigningKey

TOKEN = "a-token-for-tests"


@dataclass
class Speaker:
    """An agent: its keys, and where its own chain stands."""

    task: TaskView | None = None
    resume: SigningKey = field(default_factory=SigningKey.generate)
    key: SigningKey = field(default_factory=SigningKey.generate)
    interval_s: float = 10.0
    sealed_at_ns: int = 1
    sequence: int = 0
    previous: bytes = FIRST_PREVIOUS

    def request(self, *, token: str = TOKEN, made_at_ns: int = 1) -> EnrolRequest:
        """Its enrolment."""
        return make_request(self.key, self.resume, token=token, task=self.task, made_at_ns=made_at_ns)

    def agent(self) -> Agent:
        """Itself as a collector knows it after enrolment."""
        return Agent(
            agent=self.key.agent, public_key=self.key.public, resume_public_key=self.resume.public, status="live",
            task=self.task, made_at_ns=1, enrolled_at_ns=1, seen_at_ns=1,
        )  # fmt: skip

    def say(self, *findings: Finding, events: list[Event] | None = None, final: bool = False) -> SealedBatch:
        """Its next batch."""
        sealed = seal_batch(
            self.key,
            BatchFacts(interval_s=self.interval_s, task=self.task),
            sequence=self.sequence,
            previous=self.previous,
            sealed_at_ns=self.sealed_at_ns,
            findings=[msgspec.msgpack.encode(each) for each in findings],
            events=[msgspec.msgpack.encode(each) for each in events or []],
            lost={"pipe": 1},
            final=final,
        )
        self.sequence += 1
        self.previous = sealed.digest
        return sealed


@pytest.fixture
def speaker() -> type[Speaker]:
    """The class of agents."""
    return Speaker


@pytest.fixture
def finding() -> Callable[..., Finding]:
    """Makes a finding with the given id, and anything else changed."""

    def make(name: str, **changes: object) -> Finding:
        made = Finding(
            id=name, type="Execution:Runtime/X", rule="x", severity="LOW", title="x", at="2026-01-01T00:00:00Z",
            process=None, container=None, evidence={}, attribution="exact",
        )  # fmt: skip
        return msgspec.structs.replace(made, **changes)

    return make


@pytest.fixture
def event() -> Event:
    """A small event."""
    return SightLost(at_ns=1, sense="files", reason="test")


@dataclass
class Collector:
    """A collector process, and requests to it."""

    url: str
    process: "subprocess.Popen[str]"

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, object]]:
        """Status and JSON of one request."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10.0)
        try:
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def enrol(self, request: EnrolRequest) -> tuple[int, dict[str, object]]:
        """Hand in an enrolment."""
        return self.ask("POST", "/v1/enrol", encode_request(request), {"Content-Type": ENROL_CONTENT_TYPE})

    def send(self, data: bytes) -> tuple[int, dict[str, object]]:
        """Hand in a batch."""
        return self.ask("POST", "/v1/batches", data, {"Content-Type": CONTENT_TYPE})

    def findings(self, query: str = "limit=1000") -> list[dict[str, object]]:
        """What it was told, one by one."""
        status, page = self.ask("GET", f"/v1/occurrences?{query}", headers={"Authorization": f"Bearer {TOKEN}"})
        assert status == 200, page
        found = page["findings"]
        assert isinstance(found, list)
        return found


def start_collector(data: Path, **settings: str) -> Collector:
    """Start a collector process on a free port."""
    given = {f"OUTRIDER_COLLECTOR_{name.upper()}": value for name, value in settings.items()}
    environment = os.environ | {
        "OUTRIDER_COLLECTOR_LISTEN": "127.0.0.1:0",
        "OUTRIDER_COLLECTOR_DATA": str(data),
        "OUTRIDER_COLLECTOR_TOKEN": TOKEN,
        **given,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "outrider_collector"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return Collector(json.loads(process.stdout.readline())["url"], process)


def stop_collector(collector: Collector) -> int:
    """Stop it as a person would; its exit status."""
    collector.process.terminate()
    return collector.process.wait(10.0)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One collector for a file of tests, with short patience for slow bodies."""
    running = start_collector(tmp_path_factory.mktemp("collector"), body_timeout_s="0.5")
    yield running
    assert stop_collector(running) == 0


@pytest.fixture
def start() -> Iterator[Callable[..., Collector]]:
    """Starts collectors of the test's own; kills what is left."""
    started: list[Collector] = []

    def run(data: Path, **settings: str) -> Collector:
        started.append(start_collector(data, **settings))
        return started[-1]

    yield run
    for each in started:
        each.process.kill()
        each.process.wait()
