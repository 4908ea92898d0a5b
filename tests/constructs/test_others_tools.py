"""What other people's tools say of our templates: cfn-lint, cdk-nag, and botocore's model of ECS."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import botocore.session
import cdk_apps
import cdk_nag
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import cloudformation_include
from botocore.validate import ParamValidator
from cdk_apps import DEFINITION, Json, Written, add_app, fargate, new_collector, new_stack
from cfnlint.api import ManualArgs, lint

from outrider_cdk import Outrider
from outrider_cdk.rewriting.casing import to_api

ZONES = "W3010"
"""The tests' network names its zones, so that nobody has to look them up."""
VARIABLES = "AwsSolutions-ECS2"
"""Plain variables: addresses and choices; every token is a secret."""


def an_app(store: str, *, nag: bool = False) -> cdk.Stack:
    """A collector, and services guarded by it: one that logs, one that does not, and one on EC2."""
    stack = new_stack()
    if nag:
        cdk.Validations.of(cdk.App.of(stack)).add_plugins(cdk_nag.AwsSolutionsChecks(cdk.App.of(stack)))
    bus = events.EventBus.from_event_bus_name(stack, "Bus", "default")
    collector = new_collector(stack, store=store, security_hub=True, event_bus=bus)
    web, worker = fargate(stack, "Web"), fargate(stack, "Worker")
    add_app(web, logging=ecs.LogDriver.aws_logs(stream_prefix="web"))
    add_app(worker, logging=None)
    machine = ecs.Ec2TaskDefinition(stack, "Machine", network_mode=ecs.NetworkMode.AWS_VPC)
    add_app(machine, logging=ecs.LogDriver.aws_logs(stream_prefix="machine"))
    cdk.Validations.of(worker).acknowledge(
        cdk.Acknowledgment(id="AwsSolutions-ECS7", reason="the app of this test logs nowhere, to see what ours does")
    )
    cdk.Validations.of(machine).acknowledge(
        cdk.Acknowledgment(id=VARIABLES, reason="CDK itself gives containers on EC2 a variable")
    )
    Outrider.guard_all(stack, image=cdk_apps.SIDECAR_IMAGE, collector=collector)
    return stack


@pytest.fixture(scope="module", params=["sqlite", "aurora"])
def template(request: pytest.FixtureRequest) -> Json:
    """The whole app's template, with each store."""
    written = Written(an_app(request.param))
    assert written.errors() == []
    return written.template()


def test_cfn_lint_finds_nothing(template: Json) -> None:
    """Not even a warning, but for the zones that the tests themselves name."""
    found = lint(json.dumps(template), config=ManualArgs(regions=[cdk_apps.REGION], ignore_checks=[ZONES]))
    assert [str(each) for each in found] == []


@pytest.mark.parametrize("store", ["sqlite", "aurora"])
def test_cdk_nag_is_content(store: str) -> None:
    """Every rule of AwsSolutions holds, or is acknowledged with a reason where the resource is made."""
    Written(an_app(store, nag=True))  # raises with the report of what is not


def test_cdk_nag_would_complain() -> None:
    """The test above could fail: the same app with an open security group does."""
    stack = an_app("sqlite", nag=True)
    ec2.SecurityGroup(stack, "Open", vpc=stack.node.find_child("Network")).add_ingress_rule(
        ec2.Peer.any_ipv4(), ec2.Port.all_traffic()
    )
    with pytest.raises(RuntimeError, match="Validation"):
        Written(stack)


def test_cdk_nag_is_content_with_the_sidecar(template: Json, tmp_path: Path) -> None:
    """Read back as a template, where nothing hides in overrides: the definitions log, and secrets are secrets."""
    definitions = {name: each for name, each in template["Resources"].items() if each["Type"] == DEFINITION}
    (tmp_path / "template.json").write_text(json.dumps(_alone(definitions)))
    app = cdk.App(analytics_reporting=False)
    stack = cdk.Stack(app, "Read")
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    cdk.Validations.of(stack).acknowledge(
        cdk.Acknowledgment(id=VARIABLES, reason="addresses and choices; tokens are secrets"),
        cdk.Acknowledgment(id="AwsSolutions-ECS7", reason="the app of this test logs nowhere"),
    )
    cloudformation_include.CfnInclude(stack, "Template", template_file=str(tmp_path / "template.json"))
    app.synth()
    for each in definitions.values():
        for container in each["Properties"]["ContainerDefinitions"]:
            if container["Name"] in ("outrider", "collector"):
                assert "LogConfiguration" in container
                plain = {entry["Name"] for entry in container["Environment"]}
                assert not [name for name in plain if name.endswith(("TOKEN", "KEY", "PASSWORD"))]


def _alone(resources: Json) -> Json:
    """A template of these resources alone: references to others are texts."""

    def cut(value: Any) -> Any:
        if isinstance(value, list):
            return [cut(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and next(iter(value)) in ("Ref", "Fn::GetAtt", "Fn::Join", "Fn::Select"):
            return "known-later"
        return {key: cut(entry) for key, entry in value.items()}

    return {
        "Resources": {
            name: {"Type": each["Type"], "Properties": cut(each["Properties"])} for name, each in resources.items()
        }
    }


def test_botocore_takes_every_definition(template: Json) -> None:
    """Each is what RegisterTaskDefinition takes: known names, right types, nothing missing."""
    model = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition")
    found = {name: each for name, each in template["Resources"].items() if each["Type"] == DEFINITION}
    assert len(found) >= 4
    for each in _alone(found)["Resources"].values():
        parameters = {key: value for key, value in to_api(each["Properties"]).items() if key != "tags"}
        assert str(ParamValidator().validate(parameters, model.input_shape).generate_report()) == ""
