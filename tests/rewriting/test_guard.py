"""Guarding a plain definition: what is put in, and that nothing else is touched."""

import json
from typing import Any

import pytest
from task_definitions import EXECUTION_ROLE, LOG, TASK_ROLE, TOKEN, complaints, container, ec2, fargate, options

from outrider_cdk.rewriting import AwsLogs, FireLens, Rewritten, guard, registrable, unguard


def sidecar_of(rewritten: Rewritten) -> dict[str, Any]:
    """The last container, which must be the sidecar."""
    assert not rewritten.refused, rewritten.problems
    made = dict(rewritten.definition["containerDefinitions"][-1])
    assert made["dockerLabels"]["outrider.version"]
    return made


def codes(rewritten: Rewritten, *severities: str) -> set[str]:
    """The codes of what was said, of these severities."""
    return {problem.code for problem in rewritten.problems if problem.severity in severities}


def test_one_container_one_volume_and_pid_mode_are_put_in() -> None:
    """Three edits, each at the end of what it is put into; the rest is the same objects in the same order."""
    before = fargate(container(), container("db"), volumes=[{"name": "data"}])
    guarded = guard(before, options())
    after = guarded.definition
    assert len(guarded.edits) == 3
    assert list(after) == [*before, "pidMode"]
    assert after["pidMode"] == "task"
    assert after["volumes"] == [{"name": "data"}, {"name": "outrider-journal"}]
    assert after["containerDefinitions"][:2] == before["containerDefinitions"]
    assert len(after["containerDefinitions"]) == 3
    assert codes(guarded, "error", "warning") == set()


def test_the_sidecar_is_as_it_was_promised() -> None:
    """Not essential, restarted, asked for its health, waiting for nobody, 64 and 128 MiB, a root that is read-only."""
    made = sidecar_of(guard(fargate(), options()))
    assert (made["name"], made["essential"], made["user"]) == ("outrider", False, "0")
    assert (made["memoryReservation"], made["memory"]) == (64, 128)
    assert made["restartPolicy"] == {"enabled": True, "restartAttemptPeriod": 60}
    assert made["healthCheck"]["command"] == ["CMD", "outrider", "health"]
    assert made["readonlyRootFilesystem"] is True
    assert made["mountPoints"] == [
        {"sourceVolume": "outrider-journal", "containerPath": "/outrider", "readOnly": False}
    ]
    assert made["linuxParameters"] == {"capabilities": {"add": ["SYS_PTRACE"]}}
    assert made["secrets"] == [{"name": "OUTRIDER_TOKEN", "valueFrom": TOKEN}]
    assert "dependsOn" not in made and "portMappings" not in made and "cpu" not in made


def test_nobody_else_gets_the_capability_the_volume_or_the_secret() -> None:
    """Outside of the sidecar's container none of its words is to be found."""
    after = guard(fargate(container(), container("db")), options(depends_on=True)).definition
    others = json.dumps(after["containerDefinitions"][:-1])
    assert not [word for word in ("SYS_PTRACE", "outrider-journal", "OUTRIDER_", TOKEN) if word in others]


@pytest.mark.parametrize("mode", ["task", None])
def test_a_pid_mode_that_is_there_stays(mode: str | None) -> None:
    """It is put in where it is missing and taken out again only then."""
    before = fargate(pidMode=mode)
    after = guard(before, options()).definition
    assert after["pidMode"] == "task"
    assert unguard(after).definition == before


def test_on_ec2_pid_mode_host_is_kept() -> None:
    """The sidecar then guards the containers of its family, in the mode for machines; what that means is said."""
    guarded = guard(ec2(pidMode="host"), options())
    assert guarded.definition["pidMode"] == "host"
    assert {"name": "OUTRIDER_MODE", "value": "host"} in sidecar_of(guarded)["environment"]
    assert {"name": "OUTRIDER_INCLUDE", "value": "family=web"} in sidecar_of(guarded)["environment"]
    assert "pid-mode-host" in codes(guarded, "warning")


def test_an_empty_field_is_filled_and_emptied_again() -> None:
    """null, an empty text and CloudFormation's NoValue count as nothing, and come back as they were."""
    for nothing in (None, "", {"Ref": "AWS::NoValue"}):
        before = {**fargate(), "pidMode": nothing, "volumes": nothing}
        after = guard(before, options()).definition
        assert (after["pidMode"], after["volumes"]) == ("task", [{"name": "outrider-journal"}])
        assert json.dumps(unguard(after).definition) == json.dumps(before)


def test_the_others_wait_only_when_asked_to() -> None:
    """dependsOn with START, behind what is there; a container that waits already is left alone."""
    waits = {"containerName": "db", "condition": "HEALTHY"}
    before = fargate(container(dependsOn=[waits]), container("db"))
    after = guard(before, options(depends_on=True)).definition
    mine = {"containerName": "outrider", "condition": "START"}
    assert [c.get("dependsOn") for c in after["containerDefinitions"]] == [[waits, mine], [mine], None]
    assert unguard(after).definition == before
    assert not guard(after, options(depends_on=True)).edits


def test_the_log_goes_where_the_apps_goes() -> None:
    """The same group, without what makes one entry of several lines, and never waiting for the log."""
    log = {**LOG, "options": {**LOG["options"], "awslogs-multiline-pattern": "^x"}}  # type: ignore[dict-item]
    made = sidecar_of(guard(fargate(container(logConfiguration=log)), options()))
    assert made["logConfiguration"] == {
        "logDriver": "awslogs",
        "options": {**LOG["options"], "mode": "non-blocking"},  # type: ignore[dict-item]
    }


def test_the_apps_log_is_taken_before_the_routers() -> None:
    """With FireLens the sidecar's log goes through the router, as the app's does."""
    router = container("router", firelensConfiguration={"type": "fluentbit"})
    app = container(logConfiguration={"logDriver": "awsfirelens", "options": {"Name": "s3"}, "secretOptions": []})
    made = sidecar_of(guard(fargate(router, app), options()))
    assert made["logConfiguration"] == {"logDriver": "awsfirelens", "options": {"Name": "s3"}, "secretOptions": []}


def test_a_log_of_its_own() -> None:
    """A group that is named, or the router with options and secrets."""
    named = options(log=AwsLogs(group="/outrider", region="eu-west-1", create_group=True))
    assert sidecar_of(guard(fargate(), named))["logConfiguration"]["options"] == {
        "awslogs-group": "/outrider",
        "awslogs-region": "eu-west-1",
        "awslogs-stream-prefix": "outrider",
        "awslogs-create-group": "true",
        "mode": "non-blocking",
    }
    routed = options(log=FireLens(options={"Name": "http"}, secrets={"Header": TOKEN}))
    task = fargate(container(), container("router", firelensConfiguration={"type": "fluentbit"}))
    assert sidecar_of(guard(task, routed))["logConfiguration"] == {
        "logDriver": "awsfirelens",
        "options": {"Name": "http"},
        "secretOptions": [{"name": "Header", "valueFrom": TOKEN}],
    }


def test_settings_and_secrets_become_variables() -> None:
    """By their names in the settings' page; what is given wins over what would be set."""
    wish = options(
        settings={"release": "/usr/bin/gdb", "stop_timeout_s": "20"}, secrets={"lists_key": TOKEN}, enrol="token"
    )
    made = sidecar_of(guard(fargate(), wish))
    told = {entry["name"]: entry["value"] for entry in made["environment"]}
    assert told["OUTRIDER_RELEASE"] == "/usr/bin/gdb"
    assert (told["OUTRIDER_STOP_TIMEOUT_S"], told["OUTRIDER_ENROL"], told["OUTRIDER_MODE"]) == ("20", "token", "task")
    assert {"name": "OUTRIDER_LISTS_KEY", "valueFrom": TOKEN} in made["secrets"]


@pytest.mark.parametrize(
    ("cpus", "whole", "wanted", "given"),
    [
        ([None], "512", None, None),
        ([256], "512", None, 64),
        ([480], "512", None, 32),
        ([512], "512", None, None),
        ([256], ".5 vCPU", None, 64),
        ([256], None, None, 64),
        ([256], "512", 128, 128),
        ([256], "512", 0, None),
    ],
)
def test_the_share_of_the_cpu(cpus: list[int | None], whole: str | None, wanted: int | None, given: int | None) -> None:
    """None where nobody reserves any; else a little of what is left, or what was asked for."""
    task = fargate(*(container(f"c{n}", cpu=cpu) for n, cpu in enumerate(cpus)), cpu=whole)
    guarded = guard(task, options(cpu=wanted))
    assert sidecar_of(guarded).get("cpu") == given
    assert ("no-cpu" in codes(guarded, "warning")) == (given is None and cpus != [None])


def test_the_image_for_the_processor() -> None:
    """ARM64 takes its own image; everything else the other."""
    arm = fargate(runtimePlatform={"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"})
    wish = options(image_arm64="registry.example/outrider:1-arm64")
    assert sidecar_of(guard(arm, wish))["image"] == "registry.example/outrider:1-arm64"
    assert sidecar_of(guard(fargate(), wish))["image"] == "registry.example/outrider:1"


def test_a_role_is_put_in_where_there_is_none() -> None:
    """And taken out again; one that is there stays, and one that somebody put there since, too."""
    wish = options(execution_role_arn=EXECUTION_ROLE)
    bare = fargate(executionRoleArn=None)
    after = guard(bare, wish).definition
    assert after["executionRoleArn"] == EXECUTION_ROLE
    assert unguard(after).definition == bare
    assert unguard({**after, "executionRoleArn": "another"}).definition == {**bare, "executionRoleArn": "another"}
    own = fargate(executionRoleArn="own")
    assert guard(own, wish).definition["executionRoleArn"] == "own"


def test_a_second_run_with_newer_options_updates_the_sidecar_only() -> None:
    """One edit, in its place among the containers; by whom it was guarded is said."""
    before = fargate(container(), container("db"))
    first = guard(before, options(version="0.0.9")).definition
    moved = {**first, "containerDefinitions": first["containerDefinitions"][::-1]}
    second = guard(moved, options(image="registry.example/outrider:2", container_name="other", volume_name="other"))
    assert [edit.path for edit in second.edits] == [("containerDefinitions", 0)]
    made = second.definition["containerDefinitions"][0]
    assert (made["name"], made["image"]) == ("outrider", "registry.example/outrider:2")
    assert "guarded-by-older" in codes(second, "note")
    restored = unguard(second.definition).definition
    assert restored == {**before, "containerDefinitions": before["containerDefinitions"][::-1]}
    newer = guard(second.definition, options(version="0.0.1"))
    assert "guarded-by-newer" in codes(newer, "warning")


def test_what_ecs_says_of_a_guarded_definition_is_known_again() -> None:
    """ECS adds empty lists, zeros and a host, and may order the environment: that is the same sidecar."""
    before = fargate()
    after = guard(before, options()).definition
    *others, made = after["containerDefinitions"]
    described = {
        **after,
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7",
        "volumes": [{"name": "outrider-journal", "host": {}}],
        "containerDefinitions": [
            *others,
            {**made, "cpu": 0, "portMappings": [], "volumesFrom": [], "systemControls": []}
            | {"environment": made["environment"][::-1]},
        ],
    }
    again = guard({"taskDefinition": described, "tags": []}, options())
    assert not again.edits and not again.refused
    assert unguard(described).definition["containerDefinitions"] == before["containerDefinitions"]


def test_what_describe_prints_is_taken_as_it_is() -> None:
    """Within its wrapper, with paths from the wrapper on; what only ECS writes is kept until it is registered."""
    document = {
        "taskDefinition": {**fargate(), "revision": 7, "status": "ACTIVE", "requiresAttributes": [{"name": "x"}]},
        "tags": [{"key": "team", "value": "web"}],
    }
    guarded = guard(document, options())
    assert {edit.path[0] for edit in guarded.edits} == {"taskDefinition"}
    assert guarded.definition["taskDefinition"]["revision"] == 7
    parameters = registrable(guarded.definition)
    assert parameters["tags"] == document["tags"] and "revision" not in parameters
    assert complaints("RegisterTaskDefinition", parameters) == ""
    assert unguard(guarded.definition).definition == document
    assert registrable(guarded.definition["taskDefinition"]) == {k: v for k, v in parameters.items() if k != "tags"}


def test_values_of_a_template_may_stand_anywhere() -> None:
    """Intrinsic functions are kept, as options, too, and are never taken for what they are not."""
    image = {"Fn::Sub": "${Registry}/outrider"}
    task = fargate(
        container({"Ref": "Name"}, image={"Ref": "Image"}, cpu={"Ref": "Cpu"}),  # type: ignore[arg-type]
        {"Fn::If": ["Debug", container("debug"), {"Ref": "AWS::NoValue"}]},
        family={"Ref": "AWS::StackName"},
        cpu={"Ref": "Cpu"},
        memory={"Ref": "Memory"},
    )
    guarded = guard(task, options(image=image, collector_url={"Ref": "Collector"}, execution_role_arn={"Ref": "Role"}))
    assert sidecar_of(guarded)["image"] == image
    assert not any("container-unknown" in codes(guarded, severity) for severity in ("error", "warning"))
    assert unguard(guarded.definition).definition == task


def test_a_volume_that_others_came_to_use_is_put_back_carefully() -> None:
    """What was added to our list since stays."""
    after = guard(fargate(), options()).definition
    after = {**after, "volumes": [*after["volumes"], {"name": "later"}]}
    assert unguard(after).definition["volumes"] == [{"name": "later"}]


def test_a_task_role_is_enough_to_enrol() -> None:
    """Without a token nothing is read from a secret."""
    made = sidecar_of(guard(fargate(taskRoleArn=TASK_ROLE), options(token_secret="")))
    assert "secrets" not in made


def test_what_names_the_sidecar_that_is_gone_is_told_of() -> None:
    """Somebody's own dependency on it stays, and is a warning: ECS would refuse the definition."""
    after = guard(fargate(), options()).definition
    app, sidecar = after["containerDefinitions"]
    waiting = {**app, "dependsOn": [{"containerName": "outrider", "condition": "HEALTHY"}]}
    bare = unguard({**after, "containerDefinitions": [waiting, sidecar]})
    assert [(p.code, p.path) for p in bare.problems] == [("left-behind", ("containerDefinitions", 0, "dependsOn", 0))]
    assert bare.definition["containerDefinitions"] == [waiting]
