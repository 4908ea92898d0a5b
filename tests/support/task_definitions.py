"""Task definitions for tests of the rewriter: plain ones, odd ones, and whatever JSON can hold."""

from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from hypothesis import strategies as st

from outrider_cdk.rewriting import GuardOptions
from outrider_cdk.rewriting.checks import ACCEPTABLE

Json = dict[str, Any]
TOKEN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:outrider-token"
EXECUTION_ROLE = "arn:aws:iam::111122223333:role/execution"
TASK_ROLE = "arn:aws:iam::111122223333:role/task"
LOG = {
    "logDriver": "awslogs",
    "options": {"awslogs-group": "/web", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "web"},
}


def options(**changes: Any) -> GuardOptions:
    """Options that leave nothing to be warned of."""
    given = {
        "image": "registry.example/outrider:1",
        "collector_url": "https://collector.example:8440",
        "token_secret": TOKEN,
    }
    return GuardOptions(**{**given, **changes})


def container(name: str = "app", **changes: Any) -> Json:
    """A container; a field that is None is left out."""
    made = {"name": name, "image": f"registry.example/{name}:1", "essential": True, "logConfiguration": LOG}
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def fargate(*containers: Json, **changes: Any) -> Json:
    """A Fargate definition that nothing is wrong with; a field that is None is left out."""
    made = {
        "family": "web",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "512",
        "memory": "1024",
        "executionRoleArn": EXECUTION_ROLE,
        "containerDefinitions": list(containers) or [container()],
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def ec2(*containers: Json, **changes: Any) -> Json:
    """An EC2 definition in a task's own network."""
    return fargate(*containers, **{"requiresCompatibilities": ["EC2"], "cpu": None, "memory": None, **changes})


def complaints(operation: str, parameters: Json) -> str:
    """What botocore says before it would send a call to ECS; empty when it would."""
    model = botocore.session.get_session().get_service_model("ecs").operation_model(operation)
    return str(ParamValidator().validate(parameters, model.input_shape).generate_report())


texts = st.sampled_from(
    ["app", "outrider", "outrider-journal", "task", "host", "1 GB", "kill -9 -1", "", "a\x00\u2028"]
)
intrinsics = st.sampled_from(
    [{"Ref": "AWS::NoValue"}, {"Ref": "Image"}, {"Fn::Sub": "${A}-b"}, {"Fn::If": ["A", 1, 2]}]
)
scalars = st.one_of(st.sampled_from([None, True, False, 0, -1, 2.5, 4096]), texts, intrinsics)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2), max_leaves=6
)

HARMLESS: dict[str, list[Any]] = {
    "cpu": [0, 64, 128],
    "memory": [64, 256],
    "command": [[], ["serve"], "serve", None],
    "entryPoint": [["/bin/app"], None],
    "environment": [[], [{"name": "A", "value": "b"}], {"A": "b"}, [1], None],
    "dependsOn": [[], [{"containerName": "db", "condition": "START"}], [{"containerName": "outrider"}], None, ""],
    "mountPoints": [[], [{"sourceVolume": "data", "containerPath": "/data"}], None],
    "volumesFrom": [[], [{"sourceContainer": "db"}]],
    "linuxParameters": [{"initProcessEnabled": True}, {"capabilities": {"drop": ["ALL"]}}, {"capabilities": []}, 7],
    "logConfiguration": [{"logDriver": "splunk", "options": {}}, {"Ref": "Log"}, "none", None],
    "healthCheck": [{"command": ["CMD", "true"]}, [], None],
    "dockerLabels": [{"team": "web"}, {}, [], None],
    "privileged": [False, None],
    "stopTimeout": [30, "30", "soon"],
    "x-unknown": [{"deep": [{"er": None}]}, "é", 1e3],
}
"""Values of a container's fields with which it can be guarded: ordinary, odd and wrong."""
HARMFUL: dict[str, list[Any]] = {
    "command": [["sh", "-c", "kill -9 -1"], ["/init"]],
    "linuxParameters": [{"capabilities": {"add": ["SYS_PTRACE"]}}],
    "logConfiguration": [{"logDriver": "awsfirelens"}],
    "mountPoints": [[{"sourceVolume": "outrider-journal"}]],
    "volumesFrom": [[{"sourceContainer": "outrider"}]],
    "dockerLabels": [{"outrider.version": "0"}, {"outrider.version": "0", "outrider.undo": "{}"}],
    "privileged": [True],
    "name": [None, "", "outrider", 5, {"Ref": "Name"}],
}
OF_THE_TASK: dict[str, list[Any]] = {
    "family": ["web", {"Ref": "Family"}, 5, None],
    "pidMode": ["task", None, "", {"Ref": "AWS::NoValue"}],
    "requiresCompatibilities": [["FARGATE"], ["EC2"], ["EC2", "FARGATE"], ["MANAGED_INSTANCES"], "FARGATE", []],
    "networkMode": ["awsvpc", "bridge", "host", "none", None],
    "cpu": ["256", "1 vCPU", 1024, ".5 vcpu", "many"],
    "memory": ["2048", "2 GB", 4096, [], "1.5.5 GB"],
    "volumes": [[], [{"name": "data"}], None, "", {"Ref": "AWS::NoValue"}],
    "executionRoleArn": [EXECUTION_ROLE, {"Fn::GetAtt": ["Role", "Arn"]}, None, ""],
    "taskRoleArn": [TASK_ROLE, None],
    "x-unknown": [{"deep": [{"er": None}]}, "é", 1e3],
    "revision": [7],
}
HARMFUL_OF_THE_TASK: dict[str, list[Any]] = {
    "pidMode": ["host", "none", 5, {"Ref": "Mode"}],
    "volumes": ["none", {"name": "data"}, [{"name": "outrider-journal", "host": {"sourcePath": "/x"}}]],
    "runtimePlatform": [{"cpuArchitecture": "ARM64"}, {"operatingSystemFamily": "WINDOWS_SERVER_2025_CORE"}],
    "containerDefinitions": [None, [], {}, "app", [{}, 5], [{"Fn::If": ["A", {}, {}]}]],
}


@st.composite
def _fields(draw: st.DrawFn, choices: dict[str, list[Any]]) -> Json:
    """Some of the fields, in any order, each with one of its values."""
    chosen = draw(st.lists(st.sampled_from(sorted(choices)), unique=True, max_size=5))
    return {key: draw(st.sampled_from(choices[key])) for key in chosen}


@st.composite
def guardable(draw: st.DrawFn) -> Json:
    """A definition with one to four containers that nothing forbids to guard; the tests accept what is left."""
    called = draw(st.lists(st.sampled_from(["app", "web", "db", "log"]), unique=True, min_size=1))
    containers = [{"name": name, **draw(_fields(HARMLESS))} for name in called]
    task: Json = {"containerDefinitions": containers, **draw(_fields(OF_THE_TASK))}
    keys = draw(st.permutations(sorted(task)))
    return {key: task[key] for key in keys}


@st.composite
def hazardous(draw: st.DrawFn) -> Json:
    """The same with one or two things wrong, or anything at all somewhere in it."""
    task = draw(guardable())
    place = draw(st.sampled_from([task, task["containerDefinitions"][0]]))
    harmful = HARMFUL_OF_THE_TASK if place is task else HARMFUL
    key = draw(st.sampled_from(sorted(harmful)))
    place[key] = draw(st.sampled_from(harmful[key]))
    if draw(st.booleans()):
        place[draw(st.sampled_from(sorted({*HARMLESS, *OF_THE_TASK})))] = draw(anything)
    return task


documents = st.one_of(
    guardable(), hazardous(), st.builds(lambda task: {"taskDefinition": task, "tags": []}, guardable()), anything
)
wishes = st.builds(
    options,
    depends_on=st.booleans(),
    essential=st.booleans(),
    platform=st.sampled_from(["auto", "fargate", "ec2", "managed_instances"]),
    execution_role_arn=st.sampled_from(["", EXECUTION_ROLE, {"Ref": "Role"}]),
    image_arm64=st.sampled_from(["", "arm"]),
    cpu=st.sampled_from([None, 0, 64]),
    accept=st.just(ACCEPTABLE),
)
