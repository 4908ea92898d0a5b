"""Small CDK apps for tests, and what comes out of them: templates and messages."""

import json
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import cx_api

from outrider_cdk import OutriderCollector
from outrider_cdk.rewriting.casing import to_api

Json = dict[str, Any]
ACCOUNT, REGION = "123456789012", "eu-west-1"
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0c1e2d3f-0000-4000-8000-000000000000"
DOMAIN = "outrider.example.com"
SIDECAR_IMAGE, COLLECTOR_IMAGE = "outrider:0.1.0", "outrider-collector:0.1.0"
DEFINITION = "AWS::ECS::TaskDefinition"


def new_stack(name: str = "Web", app: cdk.App | None = None, **context: Any) -> cdk.Stack:
    """A stack of an app of its own, or of the one that is given."""
    app = app or cdk.App(context=context, analytics_reporting=False)
    return cdk.Stack(app, name, env=cdk.Environment(account=ACCOUNT, region=REGION))


def new_network(stack: cdk.Stack) -> ec2.Vpc:
    """A network in zones that are known, without looking them up."""
    return ec2.Vpc(
        stack,
        "Network",
        availability_zones=[f"{REGION}a", f"{REGION}b"],
        flow_logs={"all": ec2.FlowLogOptions()},
    )


def new_collector(stack: cdk.Stack, *, certificate: str = CERTIFICATE, **choices: Any) -> OutriderCollector:
    """A collector with a certificate that is there already."""
    return OutriderCollector(
        stack,
        "Collector",
        vpc=choices.pop("vpc", None) or new_network(stack),
        domain_name=DOMAIN,
        image=ecs.ContainerImage.from_registry(COLLECTOR_IMAGE),
        certificate=acm.Certificate.from_certificate_arn(stack, "Certificate", certificate),
        **choices,
    )


def fargate(stack: cdk.Stack, name: str = "Task", **choices: Any) -> ecs.FargateTaskDefinition:
    """A task definition without containers."""
    return ecs.FargateTaskDefinition(stack, name, cpu=512, memory_limit_mib=1024, **choices)


def add_app(definition: ecs.TaskDefinition, name: str = "app", **choices: Any) -> ecs.ContainerDefinition:
    """A container that logs nowhere."""
    choices = {"memory_limit_mib": 256, **choices}
    return definition.add_container(name, image=ecs.ContainerImage.from_registry("app:1"), **choices)


class Written:
    """A synthesised app."""

    def __init__(self, inside: cdk.Stack) -> None:
        self.assembly: cx_api.CloudAssembly = cdk.App.of(inside).synth()

    def template(self, stack: str = "Web") -> Json:
        """A stack's template."""
        return dict(json.loads(json.dumps(self.assembly.get_stack_by_name(stack).template)))

    def definitions(self, stack: str = "Web") -> dict[str, Json]:
        """The properties of its task definitions, with the API's names, by their logical ids."""
        resources = self.template(stack)["Resources"]
        return {name: to_api(each["Properties"]) for name, each in resources.items() if each["Type"] == DEFINITION}

    def definition(self, stack: str = "Web") -> Json:
        """The only one."""
        (one,) = self.definitions(stack).values()
        return one

    def messages(self, level: cx_api.SynthesisMessageLevel, stack: str = "Web") -> list[str]:
        """What is said of Outrider's at this level: path and text."""
        told = self.assembly.get_stack_by_name(stack).messages
        return [
            f"{each.id}: {each.entry.data}"
            for each in told
            if each.level == level and "Outrider" in str(each.entry.data)
        ]

    def errors(self, stack: str = "Web") -> list[str]:
        """What stops a deployment."""
        return self.messages(cx_api.SynthesisMessageLevel.ERROR, stack)

    def warnings(self, stack: str = "Web") -> list[str]:
        """What does not."""
        return self.messages(cx_api.SynthesisMessageLevel.WARNING, stack)

    def notes(self, stack: str = "Web") -> list[str]:
        """What is only said."""
        return self.messages(cx_api.SynthesisMessageLevel.INFO, stack)


def containers(definition: Json) -> dict[str, Json]:
    """Containers by name."""
    return {each["name"]: each for each in definition["containerDefinitions"]}
