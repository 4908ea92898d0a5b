"""What cannot be guarded is an error at its construct, what is worth less a warning; nothing is passed over."""

import aws_cdk as cdk
import cdk_apps
import pytest
from aws_cdk import aws_ecs as ecs
from cdk_apps import Written, add_app, fargate, new_network, new_stack

from outrider_cdk import Outrider

IMAGE = cdk_apps.SIDECAR_IMAGE
URL = "https://outrider.example.com"
LINUX, WINDOWS = ecs.OperatingSystemFamily.LINUX, ecs.OperatingSystemFamily.WINDOWS_SERVER_2022_CORE
ARM, X86 = ecs.CpuArchitecture.ARM64, ecs.CpuArchitecture.X86_64


def platform(system: ecs.OperatingSystemFamily, processor: ecs.CpuArchitecture) -> ecs.RuntimePlatform:
    return ecs.RuntimePlatform(operating_system_family=system, cpu_architecture=processor)


def with_capability(stack: cdk.Stack, name: ecs.Capability) -> ecs.FargateTaskDefinition:
    """A task whose app has a capability that CDK itself lets through."""
    definition = fargate(stack)
    parameters = ecs.LinuxParameters(stack, "Parameters")
    add_app(definition, linux_parameters=parameters)
    parameters.add_capabilities(name)
    return definition


def windows(stack: cdk.Stack) -> ecs.TaskDefinition:
    definition = ecs.FargateTaskDefinition(
        stack, "Task", cpu=1024, memory_limit_mib=2048, runtime_platform=platform(WINDOWS, X86)
    )
    add_app(definition)
    return definition


def arm(stack: cdk.Stack) -> ecs.TaskDefinition:
    definition = fargate(stack, runtime_platform=platform(LINUX, ARM))
    add_app(definition)
    return definition


def host_on_fargate(stack: cdk.Stack) -> ecs.CfnTaskDefinition:
    return ecs.CfnTaskDefinition(
        stack,
        "Task",
        requires_compatibilities=["FARGATE"],
        network_mode="awsvpc",
        cpu="256",
        memory="512",
        pid_mode="host",
        container_definitions=[ecs.CfnTaskDefinition.ContainerDefinitionProperty(name="app", image="app:1")],
    )


def full(stack: cdk.Stack) -> ecs.TaskDefinition:
    definition = fargate(stack)
    add_app(definition, memory_limit_mib=1024, memory_reservation_mib=1000)
    return definition


REFUSED = {
    "windows": windows,
    "arm-image": arm,
    "pid-mode": host_on_fargate,
    "reads-key": lambda stack: with_capability(stack, ecs.Capability.SYS_PTRACE),
    "not-on-fargate": lambda stack: with_capability(stack, ecs.Capability.SYS_ADMIN),
    "too-small": full,
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_cannot_be_is_an_error_at_the_construct(code: str) -> None:
    """With the code, at the path of the definition; what cannot be guarded is left as it was."""
    stack = new_stack()
    Outrider.guard(REFUSED[code](stack), image=IMAGE, collector_url=URL)
    written = Written(stack)
    errors = [each for each in written.errors() if f"[{code}]" in each]
    assert errors and errors[0].startswith("/Web/Task"), written.errors()
    guarded = [each["name"] for each in written.definition()["containerDefinitions"]]
    assert "outrider" not in guarded


def test_the_error_is_the_same_for_all_of_a_stack() -> None:
    """`guard_all` says of each definition what `guard` would say."""
    stack = new_stack()
    windows(stack)
    Outrider.guard_all(stack, image=IMAGE, collector_url=URL)
    assert any("[windows]" in each and each.startswith("/Web/Task") for each in Written(stack).errors())


def test_an_accepted_error_is_a_warning() -> None:
    """Who names the code knows what he does."""
    stack = new_stack()
    definition = with_capability(stack, ecs.Capability.SYS_PTRACE)
    Outrider.guard(definition, image=IMAGE, collector_url=URL, accept={"reads-key"})
    written = Written(stack)
    assert written.errors() == []
    assert any("[reads-key]" in each for each in written.warnings())


def test_a_definition_of_somebody_else_is_an_error() -> None:
    """One that is only referred to cannot be changed here."""
    stack = new_stack()
    arn = f"arn:aws:ecs:{cdk_apps.REGION}:{cdk_apps.ACCOUNT}:task-definition/other:7"
    other = ecs.FargateTaskDefinition.from_fargate_task_definition_arn(stack, "Other", arn)
    assert Outrider.guard(other, image=IMAGE, collector_url=URL) is None
    assert [each for each in Written(stack).errors() if "[imported]" in each and "/Web/Other" in each]


def test_the_services_are_looked_at() -> None:
    """An old platform version is an error at the service, ECS Exec a warning; a service beside says nothing."""
    stack = new_stack()
    cluster = ecs.Cluster(stack, "Cluster", vpc=new_network(stack))
    guarded, other = fargate(stack), fargate(stack, "Other")
    for definition in (guarded, other):
        add_app(definition)
    Outrider.guard(guarded, image=IMAGE, collector_url=URL)
    for name, definition in (("Old", guarded), ("Beside", other)):
        ecs.FargateService(
            stack,
            name,
            cluster=cluster,
            task_definition=definition,
            platform_version=ecs.FargatePlatformVersion.VERSION1_3,
            enable_execute_command=True,
            min_healthy_percent=100,
        )
    written = Written(stack)
    assert [each.partition(":")[0] for each in written.errors()] == ["/Web/Old/Service"]
    assert "[platform-version]" in written.errors()[0]
    assert ["/Web/Old/Service" in each for each in written.warnings() if "[ecs-exec]" in each] == [True]


def test_who_wrote_the_resource_itself_is_told_of_the_role() -> None:
    """Rights cannot be given to a role that is only a name."""
    stack = new_stack()
    collector = cdk_apps.new_collector(stack)
    bare = host_on_fargate(stack)
    bare.pid_mode = None
    bare.execution_role_arn = bare.task_role_arn = "arn:aws:iam::123456789012:role/execution"
    Outrider.guard(bare, image=IMAGE, collector=collector)
    assert any("execution role" in each for each in Written(stack).warnings())
