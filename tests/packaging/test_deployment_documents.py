"""The committed documents are what the code makes, and AWS's own model takes each of them."""

import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from outrider_cdk import daemon
from outrider_cdk.documents import DOCUMENTS
from outrider_cdk.limits import GIB
from outrider_cli.main import COMMANDS
from outrider_sidecar.settings import load

ROOT = Path(__file__).parents[2]
CALLS = {
    "task-defs/ec2-daemon.json": ("ecs", "RegisterTaskDefinition"),
    "task-defs/ec2-daemon-service.json": ("ecs", "CreateService"),
    "task-defs/managed-daemon.json": ("ecs", "RegisterDaemonTaskDefinition"),
    "task-defs/managed-daemon-create.json": ("ecs", "CreateDaemon"),
}
DEFINITIONS = ("task-defs/ec2-daemon.json", "task-defs/managed-daemon.json")


def read(name: str) -> dict[str, Any]:
    """A committed document."""
    return dict(json.loads((ROOT / name).read_text()))


def container_of(name: str) -> dict[str, Any]:
    """The one container of a task definition."""
    (container,) = read(name)["containerDefinitions"]
    return dict(container)


def complaints(service: str, operation: str, parameters: dict[str, Any]) -> str:
    """What botocore says before it would send a call; empty when it would."""
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    return str(ParamValidator().validate(parameters, model.input_shape).generate_report())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_what_the_code_makes(name: str) -> None:
    """`python -m outrider_cdk` would change nothing."""
    assert (ROOT / name).read_text() == DOCUMENTS[name](), "run `make docs` and commit the result"


@pytest.mark.parametrize("name", CALLS)
def test_aws_takes_it(name: str) -> None:
    """Each is the parameters of its call: known names, right types, nothing missing."""
    assert complaints(*CALLS[name], read(name)) == ""


@pytest.mark.parametrize("name", CALLS)
def test_the_judge_sees_a_mistake(name: str) -> None:
    """An unknown name and a wrong type are complained of: the test above could fail."""
    broken = {**read(name), "pidmode": "host", "tags": "none"}
    assert "pidmode" in complaints(*CALLS[name], broken)
    assert "tags" in complaints(*CALLS[name], broken)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_its_settings_are_settings(name: str) -> None:
    """What the sidecar would be told is read without complaint, and asks for the host mode."""
    container = container_of(name)
    environ = {entry["name"]: entry["value"] for entry in container["environment"]}
    environ |= {entry["name"]: "a-secret" for entry in container["secrets"]}
    settings, _ = load(environ)
    assert settings.mode == "host"
    assert settings.stop_timeout_s == container["stopTimeout"]
    assert settings.journal_dir in [mount["containerPath"] for mount in container["mountPoints"]]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_it_keeps_within_what_ecs_allows(name: str) -> None:
    """Ranges of the ECS API reference that botocore does not know."""
    task, container = read(name), container_of(name)
    assert container["memoryReservation"] <= container["memory"] <= int(task["memory"])
    assert int(task["cpu"]) >= 128
    assert 60 <= container["restartPolicy"]["restartAttemptPeriod"] <= 1800
    assert 2 <= container["stopTimeout"] <= 120
    health = container["healthCheck"]
    assert 5 <= health["interval"] <= 300 and 2 <= health["timeout"] <= 60 and 1 <= health["retries"] <= 10
    assert {mount["sourceVolume"] for mount in container["mountPoints"]} == {v["name"] for v in task["volumes"]}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_it_has_what_host_mode_needs_and_little_more(name: str) -> None:
    """The machine's PID namespace; a root that is read-only; no Docker socket; health asked by our own command."""
    task, container = read(name), container_of(name)
    assert task["pidMode"] in ("host", "shared")
    assert container["readonlyRootFilesystem"]
    assert "docker.sock" not in json.dumps(task)
    program, subcommand = container["healthCheck"]["command"][1:]
    assert (program, subcommand) == ("outrider", "health") and subcommand in {row[0] for row in COMMANDS}


def test_the_service_needs_no_privileged_container() -> None:
    """Five capabilities, every other one dropped, and no way to gain more."""
    container = container_of("task-defs/ec2-daemon.json")
    assert "privileged" not in container
    assert container["linuxParameters"]["capabilities"]["drop"] == ["ALL"]
    assert len(container["linuxParameters"]["capabilities"]["add"]) == 5
    assert container["dockerSecurityOptions"] == ["no-new-privileges"]
    assert read("task-defs/ec2-daemon.json")["networkMode"] == "host"


def test_a_failing_guard_takes_no_machine_down() -> None:
    """A daemon is critical unless it is told not to be: then ECS would drain the machine."""
    assert read("task-defs/managed-daemon-create.json")["critical"] is False
    service = read("task-defs/ec2-daemon-service.json")
    assert service["schedulingStrategy"] == "DAEMON"
    assert service["deploymentConfiguration"]["maximumPercent"] == 100  # never two at once: they would share a journal


def test_the_roles_policy_reads_and_does_no_more() -> None:
    """Each statement allows describing, and names what it may describe."""
    policy = read("task-defs/task-role-policy.json")
    for statement in policy["Statement"]:
        assert statement["Action"].startswith("ecs:Describe")
        assert statement["Resource"] != "*"


def test_limits_and_settings_follow_the_arguments() -> None:
    """A large machine's definition has the large limits; a setting that is given is there, once."""
    made = daemon.task_definition(machine_bytes=64 * GIB, cpus=16, environment={"OUTRIDER_GUARD_HOST": "on"})
    (container,) = made["containerDefinitions"]
    assert (made["cpu"], made["memory"], container["memory"]) == ("1638", "1024", 1024)
    names = [entry["name"] for entry in container["environment"]]
    assert "OUTRIDER_GUARD_HOST" in names and len(names) == len(set(names))
    assert complaints("ecs", "RegisterTaskDefinition", made) == ""


def test_every_file_is_explained() -> None:
    """The README of task-defs names each file that lies there, and its links lead somewhere."""
    folder = ROOT / "task-defs"
    linked = set(re.findall(r"\]\(([^):#]+)\)", (folder / "README.md").read_text()))
    assert {path.name for path in folder.glob("*.json")} <= linked
    assert not [target for target in linked if not (folder / target).exists()]
