"""A real collector with a token of each role, an agent that has told something, and requests to them."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from outrider_wire.batch import CONTENT_TYPE, FIRST_PREVIOUS, BatchFacts, SealedBatch, SenseView, seal_batch
from outrider_wire.enrolment import ENROL_CONTENT_TYPE, encode_request, make_request
from outrider_wire.findings import ContainerView, Finding, ProcessView, TaskView
from outrider_wire.signing import SigningKey

BOOTSTRAP = "bootstrap-of-tests"
ADMIN = "admin-of-tests"
ROLES = ("read", "triage", "admin")


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


@dataclass
class Stand:
    """A collector process and its address."""

    host: str
    port: int
    process: "subprocess.Popen[str]"
    tokens: dict[str, str] = field(default_factory=lambda: {"admin": ADMIN})

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, *, role: str | None = "admin", **headers: str) -> Answer:
        """One request; a body that is no bytes goes as JSON. `role` names a token, or is one."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            sent["Authorization"] = f"Bearer {self.tokens.get(role, role)}"
        if body is not None and not isinstance(body, bytes):
            body = msgspec.json.encode(body)
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20.0)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def make_token(self, kind: str, **changes: Any) -> tuple[str, str]:
        """A new token, and its id."""
        made = self.ask("POST", "/v1/tokens", {"kind": kind, "name": f"for {kind}", **changes})
        assert made.status == 201, made.body
        return made.json["token"], made.json["kept"]["id"]

    def wait_for(self, path: str, holds: Any, *, timeout_s: float = 8.0) -> Any:
        """The answer at a path once it is as wanted: the index is a moment behind."""
        deadline = time.monotonic() + timeout_s
        while not holds(said := self.ask("GET", path).json):
            assert time.monotonic() < deadline, said
            time.sleep(0.02)
        return said

    def find(self, title: str) -> dict[str, Any]:
        """The one finding of this title."""
        page = self.wait_for("/v1/findings?limit=1000", lambda said: _titled(said, title))
        return _titled(page, title)[0]


def _titled(page: Any, title: str) -> list[dict[str, Any]]:
    return [each for each in page["findings"] if each["title"] == title]


@dataclass
class Teller:
    """An agent: its keys, and where its own chain stands."""

    stand: Stand
    task: TaskView | None = None
    key: SigningKey = field(default_factory=SigningKey.generate)
    resume: SigningKey = field(default_factory=SigningKey.generate)
    interval_s: float = 300.0
    sequence: int = 0
    previous: bytes = FIRST_PREVIOUS

    def enrol(self, token: str = BOOTSTRAP) -> Answer:
        """Ask to be known."""
        request = make_request(self.key, self.resume, token=token, task=self.task, made_at_ns=1)
        body = encode_request(request)
        return self.stand.ask("POST", "/v1/enrol", body, role=None, Content_Type=ENROL_CONTENT_TYPE)

    def seal(self, *findings: Finding) -> SealedBatch:
        """The next batch."""
        facts = BatchFacts(
            interval_s=self.interval_s,
            task=self.task,
            capabilities=(SenseView("exec", "attach", True), SenseView("files", "fanotify", False, "no CAP_SYS_ADMIN")),
        )
        sealed = seal_batch(
            self.key,
            facts,
            sequence=self.sequence,
            previous=self.previous,
            sealed_at_ns=1,
            findings=[msgspec.msgpack.encode(each) for each in findings],
            lost={"pipe": 2},
        )
        self.sequence += 1
        self.previous = sealed.digest
        return sealed

    def tell(self, *findings: Finding) -> Answer:
        """Send the next batch."""
        return self.stand.ask("POST", "/v1/batches", self.seal(*findings).data, role=None, Content_Type=CONTENT_TYPE)


def make_finding(name: str, title: str = "", **changes: Any) -> Finding:
    """A finding; one of another title folds into another."""
    made = Finding(
        id=name, type="Execution:Runtime/X", rule=title or name, severity="LOW", title=title or name,
        at="2026-01-01T00:00:00Z", process=None, container=None, evidence={}, attribution="exact",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def make_process(text: str) -> ProcessView:
    """A process that says this everywhere."""
    return ProcessView(1, 1, text, text, text, text, 0, [])


def make_container(text: str) -> ContainerView:
    """A container that says this everywhere."""
    return ContainerView(text, text, text)


def start_stand(data: Path, **settings: str) -> Stand:
    """Start a collector on a free port."""
    given = {"token": BOOTSTRAP, "admin_token": ADMIN, "listen": "127.0.0.1:0", "data": str(data)} | settings
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTRIDER_")}
    environment |= {f"OUTRIDER_COLLECTOR_{name.upper()}": value for name, value in given.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "outrider_collector"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    host, _, port = json.loads(process.stdout.readline())["url"].removeprefix("http://").rpartition(":")
    return Stand(host, int(port), process)


@contextlib.contextmanager
def standing(data: Path, **settings: str) -> Iterator[Stand]:
    """A collector that is stopped in the end, and must go in peace."""
    stand = start_stand(data, **settings)
    try:
        yield stand
        stand.process.terminate()
        assert stand.process.wait(10.0) == 0
    finally:
        stand.process.kill()
        stand.process.wait()
