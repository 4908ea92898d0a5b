"""`Outrider.guard` and `Outrider.guard_all`: what is guarded, by which choices, and with which rights."""

import aws_cdk as cdk
import cdk_apps
import jsii
import pytest
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_ecs_patterns as patterns
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from cdk_apps import Json, Written, add_app, containers, fargate, new_network, new_stack
from constructs import IConstruct

from outrider_cdk import MANAGED, Outrider
from outrider_cdk.rewriting.ours import version_of

IMAGE = cdk_apps.SIDECAR_IMAGE
URL = "https://outrider.example.com"


def is_guarded(definition: Json) -> bool:
    """Whether the sidecar is in it, with what it needs."""
    sidecar = containers(definition).get("outrider", {})
    return bool(version_of(sidecar)) and definition.get("pidMode") in ("task", "host")


def statements(template: Json, action: str) -> list[Json]:
    """The statements of all policies that allow an action."""
    policies = [each["Properties"] for each in template["Resources"].values() if each["Type"] == "AWS::IAM::Policy"]
    found = [one for policy in policies for one in policy["PolicyDocument"]["Statement"]]
    return [one for one in found if action in one["Action"]]


def test_containers_that_come_later_are_seen() -> None:
    """The work is done at synthesis: a container added after guard() stands before the sidecar, and is logged for."""
    stack = new_stack()
    definition = fargate(stack)
    guard = Outrider.guard(definition, image=IMAGE, collector_url=URL)
    add_app(definition, logging=ecs.LogDriver.aws_logs(stream_prefix="app"))
    made = Written(stack).definition()
    assert [each["name"] for each in made["containerDefinitions"]] == ["app", "outrider"]
    assert made["pidMode"] == "task"
    assert made["volumes"] == [{"name": "outrider-journal"}]
    app, sidecar = containers(made)["app"], containers(made)["outrider"]
    group = "awslogs-group"
    assert sidecar["logConfiguration"]["options"][group] == app["logConfiguration"]["options"][group]
    assert guard is not None
    assert guard.sidecar["name"] == "outrider"


def test_volumes_and_settings_that_are_there_stay() -> None:
    """The journal's volume is one more; the app's container is left exactly as it was."""
    bare, guarded = new_stack(), new_stack()
    for stack in (bare, guarded):
        definition = fargate(stack, volumes=[ecs.Volume(name="scratch")])
        add_app(definition, environment={"A": "1"}).add_mount_points(
            ecs.MountPoint(source_volume="scratch", container_path="/scratch", read_only=False)
        )
    Outrider.guard(guarded.node.find_child("Task"), image=IMAGE, collector_url=URL)
    before, after = Written(bare).definition(), Written(guarded).definition()
    assert after["volumes"] == [*before["volumes"], {"name": "outrider-journal"}]
    assert after["containerDefinitions"][:-1] == before["containerDefinitions"]


def test_all_of_a_stack_is_guarded_whoever_made_it() -> None:
    """A pattern's definition, one of one's own and a bare resource; a guard of its own wins."""
    stack = new_stack()
    patterns.ApplicationLoadBalancedFargateService(
        stack,
        "Pattern",
        vpc=new_network(stack),
        min_healthy_percent=100,
        task_image_options=patterns.ApplicationLoadBalancedTaskImageOptions(
            image=ecs.ContainerImage.from_registry("app:1")
        ),
    )
    own = fargate(stack, "Own")
    add_app(own)
    ecs.CfnTaskDefinition(
        stack,
        "Bare",
        requires_compatibilities=["FARGATE"],
        network_mode="awsvpc",
        cpu="256",
        memory="512",
        task_role_arn="arn:aws:iam::123456789012:role/bare",
        container_definitions=[ecs.CfnTaskDefinition.ContainerDefinitionProperty(name="app", image="app:1")],
    )
    aspect = Outrider.guard_all(stack, image=IMAGE, collector_url=URL)
    Outrider.guard(own, image="outrider:own", collector_url=URL)
    written = Written(stack)
    made = written.definitions()
    assert len(made) == 3
    assert all(map(is_guarded, made.values())), made
    images = {name: containers(each)["outrider"]["image"] for name, each in made.items()}
    assert [image for name, image in images.items() if name.startswith("Own")] == ["outrider:own"]
    assert len(aspect.guards) == 2
    assert written.errors() == []


def test_tags_say_what_is_left_alone_and_it_is_said() -> None:
    """OutriderManaged=false wins, on the definition or above it; `include` wants a tag; both leave a note."""
    stack = new_stack()
    for name in ("Plain", "Off", "Wanted"):
        add_app(fargate(stack, name))
    cdk.Tags.of(stack.node.find_child("Off")).add(MANAGED, "false")
    cdk.Tags.of(stack.node.find_child("Wanted")).add("Team", "web")
    Outrider.guard_all(stack, image=IMAGE, collector_url=URL, include={"Team": "web"})
    written = Written(stack)
    guarded = {name[:4] for name, each in written.definitions().items() if is_guarded(each)}
    assert guarded == {"Want"}
    left = [note for note in written.notes() if "not guarded" in note]
    assert len(left) == 2
    assert any("/Web/Off" in note and MANAGED in note for note in left)
    assert any("/Web/Plain" in note and "Team=web" in note for note in left)


def test_what_other_aspects_add_is_seen_and_kept() -> None:
    """Whenever and wherever they add it: a container, a variable and a volume, after ours has been there."""

    @jsii.implements(cdk.IAspect)
    class Router:
        def visit(self, node: IConstruct) -> None:
            if isinstance(node, ecs.CfnCluster):  # comes after the definition
                add_app(definition, "router")
                app.add_environment("LATE", "yes")
                definition.add_volume(name="late")

    stack = new_stack()
    definition = fargate(stack)
    app = add_app(definition)
    ecs.Cluster(stack, "Cluster", vpc=new_network(stack))
    Outrider.guard_all(stack, image=IMAGE, collector_url=URL)
    cdk.Aspects.of(stack).add(Router(), priority=990)
    made = Written(stack).definition()
    assert [each["name"] for each in made["containerDefinitions"]] == ["app", "router", "outrider"]
    assert containers(made)["app"]["environment"] == [{"name": "LATE", "value": "yes"}]
    assert [each["name"] for each in made["volumes"]] == ["late", "outrider-journal"]


def test_what_is_in_another_stack_is_imported_from_it() -> None:
    """Token and log group of another stack are references to it, in the container as in the rights."""
    app = cdk.App(analytics_reporting=False)
    base, web = new_stack("Base", app), new_stack("Web", app)
    token, group = secretsmanager.Secret(base, "Token"), logs.LogGroup(base, "Log")
    definition = fargate(web)
    Outrider.guard(definition, image=IMAGE, collector_url=URL, token=token)
    add_app(definition, logging=ecs.LogDriver.aws_logs(stream_prefix="app", log_group=group))
    written = Written(web)
    sidecar = containers(written.definition())["outrider"]
    assert "Fn::ImportValue" in sidecar["secrets"][0]["valueFrom"]
    assert "Fn::ImportValue" in sidecar["logConfiguration"]["options"]["awslogs-group"]
    (reading,) = statements(written.template(), "secretsmanager:GetSecretValue")
    assert reading["Resource"] == sidecar["secrets"][0]["valueFrom"]


def test_the_execution_role_gets_what_the_sidecar_needs_and_the_task_role_nothing() -> None:
    """It may read the token and write to the log group that was made for tasks that log nowhere."""
    stack = new_stack()
    token = secretsmanager.Secret(stack, "Token")
    for name in ("One", "Two"):
        definition = fargate(stack, name)
        add_app(definition)
        Outrider.guard(definition, image=IMAGE, collector_url=URL, token=token)
    template = Written(stack).template()
    groups = [name for name, each in template["Resources"].items() if each["Type"] == "AWS::Logs::LogGroup"]
    assert len(groups) == 1  # for the whole stack
    reading = statements(template, "secretsmanager:GetSecretValue")
    writing = statements(template, "logs:PutLogEvents")
    assert len(reading) == len(writing) == 2
    assert all("*" not in str(one["Resource"]) for one in [*reading, *writing])
    policies = [each for each in template["Resources"].values() if each["Type"] == "AWS::IAM::Policy"]
    assert all("ExecutionRole" in str(each["Properties"]["Roles"]) for each in policies)


def test_the_hosts_pid_namespace_is_kept_on_ec2() -> None:
    """A definition with pidMode host stays so, and is guarded."""
    stack = new_stack()
    definition = ecs.Ec2TaskDefinition(stack, "Task", pid_mode=ecs.PidMode.HOST, network_mode=ecs.NetworkMode.AWS_VPC)
    add_app(definition)
    Outrider.guard(definition, image=IMAGE, collector_url=URL)
    made = Written(stack).definition()
    assert made["pidMode"] == "host"
    assert is_guarded(made)


def test_an_image_that_cdk_builds_is_pulled_with_the_right_to(tmp_path) -> None:
    """An asset becomes an address in CDK's repository, and the execution role may pull it."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    stack = new_stack()
    definition = fargate(stack)
    add_app(definition)
    Outrider.guard(definition, image=ecs.ContainerImage.from_asset(str(tmp_path)), collector_url=URL)
    written = Written(stack)
    assert "dkr.ecr" in str(containers(written.definition())["outrider"]["image"])
    assert statements(written.template(), "ecr:BatchGetImage")


def test_a_second_guard_and_choices_that_differ_are_refused() -> None:
    """Two guards for one definition, and two collectors for one guard, are mistakes at that line."""
    stack = new_stack()
    collector = cdk_apps.new_collector(stack)
    definition = fargate(stack)
    Outrider.guard(definition, image=IMAGE, collector=collector)
    with pytest.raises(ValueError, match="has a guard already"):
        Outrider.guard(definition, image=IMAGE)
    with pytest.raises(ValueError, match="not both"):
        Outrider.guard(fargate(stack, "Other"), image=IMAGE, collector=collector, collector_url=URL)
