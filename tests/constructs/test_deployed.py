"""From constructs to a caught attack: synthesised, deployed to moto, described by its ECS, run as a lab task."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import cdk_apps
import pytest
from aws_deployed import definition_of, deploy, read_secret
from lab_tasks import lab_machine, wait_until
from moto import mock_aws

from outrider_cdk import Outrider
from outrider_lab.collected import FindingsQuery, get
from outrider_lab.defined import Image, environment_of, lab_task, read_target
from outrider_lab.members import read_process
from outrider_lab.network import COLLECTOR_ADDRESS, COLLECTOR_PORT
from outrider_lab.settings import MAIN, SIDECAR, TaskSettings
from outrider_lab.task import Task
from outrider_wire.errors import DeliveryError
from outrider_wire.findings import Finding

__all__ = ["lab_machine"]

pytestmark = pytest.mark.lab

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
NEW_BINARY = "Execution:Runtime/NewBinaryExecuted"
ATTACK = "cp /bin/sleep /tmp/dropped && /tmp/dropped 0.3"
TRACER = "grep TracerPid /proc/self/status"
PTRACE_BIT = 1 << 19
Json = dict[str, Any]
Change = Callable[[Json], Json]


class Deployed:
    """What ECS describes, and what it needs to run it."""

    def __init__(self, web: Json, collector: Json, secrets: dict[str, str]) -> None:
        self.web, self.collector = web, collector
        self._secrets = secrets

    def task(self, folder: Path, change: Change = lambda definition: definition) -> TaskSettings:
        """The guarded task and its collector, each as its definition says; `change` spoils the definition before."""
        (collector,) = self.collector["containerDefinitions"]
        told = environment_of(collector, self._secrets.__getitem__)
        return lab_task(
            change(self.web),
            images={
                cdk_apps.SIDECAR_IMAGE: read_target(DOCKERFILE, "sidecar"),
                "app:1": Image(),
            },
            read_secret=self._secrets.__getitem__,
            shared=folder,
            read_token=told["OUTRIDER_COLLECTOR_READ_TOKEN"],
            collector_command=_found(read_target(DOCKERFILE, "collector").command),
            collector_env=told,
        )


def _found(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, with its program where it is on this machine."""
    return (str(shutil.which(command[0])), *command[1:])


@pytest.fixture(scope="module")
def deployed(nobody: None) -> Iterator[Deployed]:
    """A web service and its collector, deployed."""
    with mock_aws():
        certificate = boto3.client("acm").request_certificate(DomainName=cdk_apps.DOMAIN)["CertificateArn"]
        stack = cdk_apps.new_stack()
        collector = cdk_apps.new_collector(stack, certificate=certificate, with_lake=False, access_logs=False)
        definition = cdk_apps.fargate(stack, family="web")
        Outrider.guard(
            definition,
            image=cdk_apps.SIDECAR_IMAGE,
            collector_url=f"http://{COLLECTOR_ADDRESS}:{COLLECTOR_PORT}",  # the lab's has no load balancer before it
            token=collector.enrolment_token,
        )
        cdk_apps.add_app(definition, environment={"GREETING": "hello"})
        template = cdk_apps.Written(stack).template()
        deploy(template, name="Web")
        web, served = definition_of("web"), definition_of(collector.task_definitions[0].family)
        arns = [
            entry["valueFrom"]
            for each in (web, served)
            for container in each["containerDefinitions"]
            for entry in container.get("secrets", [])
        ]
        yield Deployed(web, served, {arn: read_secret(arn) for arn in arns})


@pytest.fixture(scope="module")
def task(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Task]:
    """The guarded task, running, its sidecar ready."""
    with Task(deployed.task(tmp_path_factory.mktemp("volumes"))) as running:
        assert running.wait_ready(timeout_s=15.0), running.log(SIDECAR)
        yield running


def dropped(found: list[Finding]) -> list[Finding]:
    """Findings about the attack."""
    return [each for each in found if each.type == NEW_BINARY]


def agents(task: Task) -> int:
    """How many sidecars the collector has let in."""
    try:
        told = get(FindingsQuery(f"/proc/{task.supervisor_pid}/ns/net", task.settings.token), "/v1/agents")
    except DeliveryError:
        return 0  # it does not listen yet
    return len(json.loads(told)["agents"])


def test_the_attack_is_caught(task: Task) -> None:
    """A program is written and run in the guarded container: the collector has the finding, with its container."""
    task.run(ATTACK)
    (finding,) = dropped(task.findings(lambda found: bool(dropped(found)), timeout_s=10.0))
    assert finding.process is not None
    assert finding.process.exe == "/tmp/dropped"
    assert finding.container is not None
    assert finding.container.name == MAIN


def test_only_the_sidecar_may_trace(task: Task) -> None:
    """SYS_PTRACE is the sidecar's alone, as the definition has it."""
    sidecar = task.processes(SIDECAR)[0].pid
    app = task.processes(MAIN)[0].pid
    assert _capabilities(sidecar) & PTRACE_BIT
    assert not _capabilities(app) & PTRACE_BIT
    assert read_process(app).task_pid != 1  # the pause process is


def test_what_each_is_told_is_in_the_definition(task: Task, deployed: Deployed) -> None:
    """Environment, secrets, volume and read-only root come through, and nothing that the lab would add."""
    told = task.exec(["/usr/bin/env"], container=SIDECAR).stdout.decode().splitlines()
    ours = {line.partition("=")[0] for line in told if line.startswith("OUTRIDER_")}
    (sidecar,) = [each for each in deployed.web["containerDefinitions"] if each["name"] == SIDECAR]
    assert ours == {entry["name"] for entry in [*sidecar["environment"], *sidecar["secrets"]]}
    assert task.exec(["/bin/sh", "-c", "touch /x; touch /outrider/x && rm /outrider/x"], container=SIDECAR).stderr
    assert task.run("echo $GREETING; ls -d /outrider; env").stdout.decode().splitlines()[0] == "hello"
    assert b"OUTRIDER" not in task.run("env").stdout


def test_its_health_check_says_well(task: Task, deployed: Deployed) -> None:
    """The definition's own health check, run in the container."""
    (sidecar,) = [each for each in deployed.web["containerDefinitions"] if each["name"] == SIDECAR]
    kind, *command = sidecar["healthCheck"]["command"]
    assert kind == "CMD"
    done = task.exec(command, container=SIDECAR)
    assert (done.returncode, done.stdout.strip()) == (0, b"well"), done.stderr


def without_pid_mode(definition: Json) -> Json:
    """Each container has a PID namespace of its own."""
    return {key: value for key, value in definition.items() if key != "pidMode"}


def without_ptrace(definition: Json) -> Json:
    """Nobody has a capability added."""
    bare = [
        {key: value for key, value in container.items() if key != "linuxParameters"}
        for container in definition["containerDefinitions"]
    ]
    return {**definition, "containerDefinitions": bare}


def test_without_pid_mode_nothing_is_seen(deployed: Deployed, tmp_path: Path) -> None:
    """The definition matters: without pidMode it runs, is heard by the collector, and the attack goes unseen."""
    with Task(deployed.task(tmp_path, without_pid_mode)) as blind:
        wait_until(lambda: agents(blind) == 1, timeout_s=20.0, what="the sidecar's enrolment")
        blind.wait_ready(timeout_s=5.0)
        blind.run(ATTACK)
        assert dropped(blind.findings(lambda found: bool(dropped(found)), timeout_s=3.0)) == []


def test_without_the_capability_nobody_is_traced(task: Task, deployed: Deployed, tmp_path: Path) -> None:
    """Without SYS_PTRACE the sidecar is left to polling, and says so; with it, what runs is traced."""
    with Task(deployed.task(tmp_path, without_ptrace)) as blind:
        wait_until(lambda: "attach is blind" in blind.log(SIDECAR), what="the sidecar's word")
        assert "give the sidecar CAP_SYS_PTRACE" in blind.log(SIDECAR)
        assert blind.run(TRACER).stdout.split() == [b"TracerPid:", b"0"]
    assert task.run(TRACER).stdout.split()[1] != b"0"


def _capabilities(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("CapEff:")).split()[1], 16)
