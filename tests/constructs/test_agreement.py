"""`Outrider.guard` and `outrider inject` agree: the same rewriter, the same sidecar, whichever way it is put in."""

from typing import Any

import aws_cdk as cdk
import cdk_apps
import pytest
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_ecs_patterns as patterns
from aws_cdk import aws_logs as logs
from cdk_apps import DEFINITION, Written, add_app, fargate, new_network, new_stack

from outrider_cdk import Outrider
from outrider_cdk.rewriting import GuardOptions, apply, unguard
from outrider_cdk.rewriting.casing import to_api
from outrider_cdk.templates import Wish, plan_document

URL = "https://outrider.example.com"
TOKEN = f"arn:aws:secretsmanager:{cdk_apps.REGION}:{cdk_apps.ACCOUNT}:secret:outrider-Ab3dEf"
CHOICES: dict[str, Any] = {
    "collector_url": URL,
    "image": cdk_apps.SIDECAR_IMAGE,
    "depends_on": True,
    "settings": {"release": "/usr/bin/gdb"},
}


def an_app(*, guarded: bool) -> Written:
    """A pattern, a worker with a volume, and a task on EC2; with roles, secrets and logs as CDK makes them."""
    from aws_cdk import aws_secretsmanager as secretsmanager

    stack = new_stack()
    token = secretsmanager.Secret.from_secret_complete_arn(stack, "Token", TOKEN)
    patterns.ApplicationLoadBalancedFargateService(
        stack,
        "Pattern",
        vpc=new_network(stack),
        min_healthy_percent=100,
        task_image_options=patterns.ApplicationLoadBalancedTaskImageOptions(
            image=ecs.ContainerImage.from_registry("app:1"), environment={"A": "1"}
        ),
    )
    worker = fargate(stack, "Worker", volumes=[ecs.Volume(name="scratch")])
    group = logs.LogGroup(stack, "Log")
    first = add_app(worker, cpu=64, logging=ecs.LogDriver.aws_logs(stream_prefix="w", log_group=group))
    second = add_app(worker, "second")
    second.add_container_dependencies(ecs.ContainerDependency(container=first))
    machine = ecs.Ec2TaskDefinition(stack, "Machine", network_mode=ecs.NetworkMode.AWS_VPC)
    add_app(machine, logging=ecs.LogDriver.aws_logs(stream_prefix="m", log_group=group))
    for definition in (worker, machine):
        definition.obtain_execution_role()
    if guarded:
        Outrider.guard_all(stack, token=token, **CHOICES)
    return Written(stack)


def test_both_ways_give_the_same_definitions() -> None:
    """The bare app's template, rewritten as `inject` does it, has the very definitions that the guarded app has."""
    bare = an_app(guarded=False).template()
    options = GuardOptions(token_secret=TOKEN, **CHOICES)
    plan = plan_document(bare, Wish(options=options))
    assert not plan.refused, plan.problems
    injected = apply(bare, plan.edits)["Resources"]
    synthesised = an_app(guarded=True).template()["Resources"]
    names = [name for name, each in bare["Resources"].items() if each["Type"] == DEFINITION]
    assert len(names) == 3
    for name in names:
        theirs, ours = injected[name]["Properties"], synthesised[name]["Properties"]
        assert ours == theirs
        assert any(each["Name"] == "outrider" for each in ours["ContainerDefinitions"])
        assert ours["PidMode"] == "task"


def test_what_cdk_put_in_inject_takes_out() -> None:
    """`unguard` gives back the bare app's definitions, exactly."""
    bare, guarded = an_app(guarded=False).definitions(), an_app(guarded=True).definitions()
    for name, definition in guarded.items():
        assert unguard(definition).definition == bare[name]


def test_a_second_way_changes_nothing() -> None:
    """A guarded app's template, given to `inject` with the same options, stays as it is."""
    template = an_app(guarded=True).template()
    plan = plan_document(template, Wish(options=GuardOptions(token_secret=TOKEN, **CHOICES)))
    assert {each.outcome for each in plan.targets} == {"unchanged"}
    assert plan.edits == ()
    assert all(to_api(each["Properties"]) for each in template["Resources"].values() if each["Type"] == DEFINITION)


@pytest.mark.parametrize("privileged", [False, True])
def test_a_container_behind_a_condition_is_judged_alike(*, privileged: bool) -> None:
    """With CloudFormation's names, as CDK leaves them there: guarded, or an error at the branch."""
    stack = new_stack()
    debug = {"Name": "debug", "Image": "debug:1", "Privileged": privileged}
    cdk.CfnCondition(stack, "Debug", expression=cdk.Fn.condition_equals("a", "b"))
    ecs.CfnTaskDefinition(
        stack,
        "Task",
        requires_compatibilities=["FARGATE"],
        network_mode="awsvpc",
        cpu="512",
        memory="1024",
        task_role_arn=f"arn:aws:iam::{cdk_apps.ACCOUNT}:role/task",
        container_definitions=[
            ecs.CfnTaskDefinition.ContainerDefinitionProperty(name="app", image="app:1"),
            cdk.Fn.condition_if("Debug", debug, {"Ref": "AWS::NoValue"}),
        ],
    )
    Outrider.guard_all(stack, image=cdk_apps.SIDECAR_IMAGE, collector_url=URL)
    written = Written(stack)
    containers = written.definition()["containerDefinitions"]
    assert len(containers) == (2 if privileged else 3)
    assert containers[1] == to_api({"Fn::If": ["Debug", debug, {"Ref": "AWS::NoValue"}]})
    assert ["containerDefinitions[1].Fn::If[1].privileged" in each for each in written.errors()] == [
        True
    ] * privileged * 2
