"""A process of the guarded container, with the task's real role, tries to speak for the task: before, during, after."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab_aws import KEYS_URL, STS_PORT
from lab_tasks import kill_sidecar, lab_machine
from msgspec.structs import replace

from outrider_lab.collected import FindingsQuery, get
from outrider_lab.metadata import ACCOUNT
from outrider_lab.network import COLLECTOR_ADDRESS, COLLECTOR_PORT
from outrider_lab.process import LabProcess
from outrider_lab.settings import MAIN, ContainerSettings, default_sidecar, guarded_task
from outrider_lab.task import Task
from outrider_wire.errors import DeliveryError

__all__ = ["lab_machine"]

pytestmark = pytest.mark.lab

ROLE = "web-task"
STS = f"http://127.0.0.1:{STS_PORT}"
OF_THE_TASK = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": KEYS_URL, "AWS_REGION": "eu-central-1"}
AWS_BESIDE = str(Path(__file__).parents[1] / "support" / "lab_aws.py")

INTRUDER = f"""
import json, sys, time
from outrider_sidecar.enrolling import Enrolling
from outrider_sidecar.settings import Settings
from outrider_sidecar.transport import HttpTransport
from outrider_wire.enrolment import make_request
from outrider_wire.errors import DeliveryError, WireError
from outrider_wire.findings import TaskView
from outrider_wire.signing import SigningKey
key, url = SigningKey.generate(), "http://{COLLECTOR_ADDRESS}:{COLLECTOR_PORT}"
settings = Settings(collector_url=url, enrol="aws", sts_endpoint="{STS}")
bare = make_request(
    key, SigningKey.generate(), token="", task=TaskView(arn=sys.argv[1]), made_at_ns=time.time_ns()
)
try:
    said = HttpTransport(url).enrol(Enrolling(settings).show(bare), timeout_s=10.0).reason
except (WireError, DeliveryError) as error:
    said = str(error)
print(json.dumps([key.agent, said]))
"""


@pytest.fixture
def task() -> Iterator[Task]:
    """A task with a role and no token, its sidecar, and a collector that takes roles."""
    pytest.importorskip("moto")
    sidecar = replace(default_sidecar(), env=OF_THE_TASK | {"OUTRIDER_ENROL": "aws", "OUTRIDER_STS_ENDPOINT": STS})
    settings = replace(
        guarded_task(ContainerSettings(name=MAIN, env=OF_THE_TASK)),
        sidecar=sidecar,
        collector_env={
            "OUTRIDER_COLLECTOR_ENROLMENT": "aws",
            "OUTRIDER_COLLECTOR_AWS_ACCOUNTS": ACCOUNT,
            "OUTRIDER_COLLECTOR_AWS_TASK_ROLES": ROLE,
            "OUTRIDER_COLLECTOR_STS_ENDPOINT": STS,
        },
    )
    with Task(settings) as made:
        yield made


@contextmanager
def role_given(task: Task) -> Iterator[LabProcess]:
    """The task has its role."""
    beside = task.beside_popen([sys.executable, AWS_BESIDE, ROLE, task.id])
    try:
        yield beside
    finally:
        beside.close()


def intrude(task: Task) -> tuple[str, str]:
    """A process of the guarded container asks to speak for its task: its agent, and what it is told."""
    done = task.run([sys.executable, "-c", INTRUDER, task.arn])
    assert done.returncode == 0, done.stderr.decode()
    agent, said = json.loads(done.stdout)
    return agent, said


def intrude_first(task: Task) -> str:
    """The same, as soon as the task has its role: the agent that was let in."""
    deadline_s = time.monotonic() + 30
    while True:
        agent, said = intrude(task)
        if said == "enrolled":
            return agent
        assert "cannot be reached" in said or "AWS identity" in said or "503" in said, said
        assert time.monotonic() < deadline_s, said


def agents(task: Task) -> dict[str, str]:
    """Agents by status, as the collector tells of them."""
    try:
        said = json.loads(get(FindingsQuery(f"/proc/{task.supervisor_pid}/ns/net", task.settings.token), "/v1/agents"))
    except DeliveryError:
        return {}  # it does not listen yet
    return {each["agent"]: each["status"] for each in (said if isinstance(said, list) else said["agents"])}


def wait_for_status(task: Task, status: str, *, but: tuple[str, ...] = ()) -> str:
    """The agent of that status, which none of those is."""
    deadline_s = time.monotonic() + 60.0
    while True:
        known = agents(task)
        for agent, each in known.items():
            if each == status and agent not in but:
                return agent
        assert time.monotonic() < deadline_s, f"{known}\n{task.log('outrider')}\n{task.log('collector')}"
        time.sleep(0.1)


def told(task: Task, wait_for: Callable[[set[tuple[str, str]]], bool]) -> set[tuple[str, str]]:
    """What the collector tells of enrolments: kind and agent."""

    def kinds(found: list[object]) -> set[tuple[str, str]]:
        return {(each.type.rpartition("/")[2], each.agent) for each in found if "Enrolment" in each.type}  # type: ignore[attr-defined]

    return kinds(task.findings(lambda found: wait_for(kinds(found)), timeout_s=30.0))  # type: ignore[arg-type]


def test_an_intruder_who_is_first_is_contested(task: Task) -> None:
    """The sidecar that comes after is refused, since nothing tells them apart; both are told of, HIGH."""
    task.control("sidecar", "stop")
    with role_given(task):
        thief = intrude_first(task)
        task.control("sidecar", "start")
        real = wait_for_status(task, "quarantined")
        assert real != thief
        expected = {("SecondEnrolment", real), ("ContestedEnrolment", thief)}
        assert told(task, lambda found: found == expected) == expected


def test_an_intruder_who_is_later_is_quarantined(task: Task) -> None:
    """While the sidecar lives, while its successor does, and when it is gone."""
    with role_given(task):
        real = wait_for_status(task, "live")
        during, said = intrude(task)
        assert said.startswith("second-enrolment")
        kill_sidecar(task)
        heir = wait_for_status(task, "live", but=(real,))
        assert agents(task)[real] == "succeeded"
        between, said = intrude(task)
        assert said.startswith("second-enrolment")
        task.control("sidecar", "stop")
        after, said = intrude(task)
        assert said.startswith("second-enrolment")
        assert agents(task) == {
            real: "succeeded", heir: "live", during: "quarantined", between: "quarantined", after: "quarantined"
        }  # fmt: skip
        seconds = {("SecondEnrolment", agent) for agent in (during, between, after)}
        assert seconds | {("ContestedEnrolment", real)} <= told(task, lambda found: seconds <= found)
