"""A stand-in of AWS, enrolments that are signed by it, and a real collector on loopback."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aws_stand import ACCOUNT, REGION, Stand, new_task, standing, task_id
from msgspec.structs import replace

from outrider_sidecar.aws.proof import make_proof
from outrider_sidecar.aws.sigv4 import Credentials
from outrider_wire.enrolment import ENROL_CONTENT_TYPE, EnrolRequest, encode_request, make_request
from outrider_wire.findings import TaskView
from outrider_wire.signing import SigningKey

ROLE = "web-task"
TOKEN = "a-configured-token"
NAME = "collector.example"


@pytest.fixture(scope="session")
def stand() -> Iterator[Stand]:
    """moto's STS over HTTP."""
    pytest.importorskip("boto3")
    pytest.importorskip("moto")
    with standing() as made:
        yield made


@dataclass
class Candidate:
    """Whoever wants to be known: its keys, its task, and the credentials it signs with."""

    stand: Stand
    task: TaskView | None
    credentials: Credentials
    resume: SigningKey = field(default_factory=SigningKey.generate)
    key: SigningKey = field(default_factory=SigningKey.generate)

    def request(
        self, *, token: str = "", collector: str = NAME, at_s: float = 0.0, url: str = "", made_at_ns: int = 1
    ) -> EnrolRequest:
        """Its enrolment, with a proof signed now, or at another time, or for somebody else."""
        bare = make_request(self.key, self.resume, token=token, task=self.task, made_at_ns=made_at_ns)
        proof = make_proof(
            bare,
            self.credentials,
            collector=collector,
            url=url or self.stand.url + "/",
            region=REGION,
            at_s=at_s or time.time(),
        )
        return replace(bare, aws=proof)


@pytest.fixture
def candidate(stand: Stand) -> Callable[..., Candidate]:
    """Makes candidates that really are of the task they name."""

    def make(
        task: TaskView | None = None, *, account: str = ACCOUNT, role: str = ROLE, session: str = "", **kw: SigningKey
    ) -> Candidate:
        task = task or new_task(account)
        return Candidate(stand, task, stand.session(account, role, session or task_id(task)), **kw)

    return make


@dataclass
class Collector:
    """A collector process, and requests to it."""

    url: str
    data: Path
    process: "subprocess.Popen[str]"

    def ask(
        self, method: str, path: str, body: bytes = b"", content_type: str = "", **more: str
    ) -> tuple[int, dict[str, object]]:
        """Status and JSON of one request, with `more` headers."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=15.0)
        headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Content-Type": content_type} if content_type else {}) | more
        with contextlib.closing(connection):
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def enrol(self, request: EnrolRequest) -> tuple[int, str]:
        """Hand in an enrolment: the status, and the reason or the code of the refusal."""
        status, said = self.ask("POST", "/v1/enrol", encode_request(request), ENROL_CONTENT_TYPE)
        return status, str(said.get("reason") or said.get("code"))

    def why(self, request: EnrolRequest) -> str:
        """The words of a refusal."""
        return str(self.ask("POST", "/v1/enrol", encode_request(request), ENROL_CONTENT_TYPE)[1]["detail"])

    def told(self) -> list[tuple[str, str]]:
        """What it found about enrolments: the last part of the type, and the agent."""
        found = self.ask("GET", "/v1/occurrences?limit=1000")[1]["findings"]
        assert isinstance(found, list)
        told = [(each["type"].rpartition("/")[2], each["agent"]) for each in found]
        return [each for each in told if each[0].endswith("Enrolment")]


@pytest.fixture(scope="session")
def run_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Collector]]:
    """Starts collectors on free ports, with these settings over the environment's; ends them all."""
    started: list[Collector] = []

    def run(**settings: str) -> Collector:
        data = tmp_path_factory.mktemp("collector")
        given = {
            "listen": "127.0.0.1:0",
            "data": str(data),
            "token": TOKEN,
            "name": NAME,
            "enrolment_refusals": "0",
        } | settings
        environment = os.environ | {f"OUTRIDER_COLLECTOR_{name.upper()}": value for name, value in given.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "outrider_collector"], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        started.append(Collector(json.loads(process.stdout.readline())["url"], data, process))
        return started[-1]

    yield run
    for each in started:
        each.process.terminate()
    for each in started:
        assert each.process.wait(15.0) == 0


@pytest.fixture(scope="session")
def aws_settings() -> Callable[[str], dict[str, str]]:
    """Makes a collector's settings that take the roles of these tests, by an STS."""
    return settings_for


def settings_for(sts: str) -> dict[str, str]:
    """See `aws_settings`."""
    return {
        "aws_accounts": ACCOUNT,
        "aws_task_roles": f"{ACCOUNT}/web-*",
        "aws_instance_roles": "hosts",
        "sts_endpoint": sts,
    }


@pytest.fixture(scope="session")
def collector(stand: Stand, run_collector: Callable[..., Collector]) -> Collector:
    """One that takes tokens and AWS identities."""
    return run_collector(**settings_for(stand.url))


@pytest.fixture(scope="session")
def plain(run_collector: Callable[..., Collector]) -> Collector:
    """One that takes tokens alone."""
    return run_collector()


@pytest.fixture(scope="session")
def strict(stand: Stand, run_collector: Callable[..., Collector]) -> Collector:
    """One that wants both."""
    return run_collector(**settings_for(stand.url), enrolment="both")
