"""The collectors as ECS runs them: for each a task definition and a service of one task, which has its folder alone.

Two tasks with one folder would both write its spool. So a service never has two: the old one ends before the new one
starts, also in a deployment. What agents send meanwhile another collector takes, or it waits in their journals.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Duration, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from outrider_cdk.constructs.acknowledging import acknowledge
from outrider_cdk.constructs.collector.image import ALIVE_COMMAND, DATA_DIR, PORT
from outrider_cdk.constructs.collector.storage import folder_statement, volume_of
from outrider_cdk.managed import MANAGED_TAG

CONTAINER: Final = "collector"
VOLUME: Final = "data"
STOP_S: Final = 30
START_S: Final = 600
"""A collector reads what its spool holds beyond its index, before it answers well."""


def make_definition(
    scope: Construct,
    name: str,
    *,
    image: ecs.ContainerImage,
    environment: Mapping[str, str],
    secrets: Mapping[str, ecs.Secret],
    statements: Sequence[iam.PolicyStatement],
    files: efs.FileSystem,
    folder: efs.AccessPoint,
    log_group: logs.ILogGroup,
    cpu: int,
    memory_mib: int,
    architecture: ecs.CpuArchitecture,
) -> ecs.FargateTaskDefinition:
    """The task definition of one collector: one container, read-only but for its folder."""
    definition = ecs.FargateTaskDefinition(
        scope,
        name,
        cpu=cpu,
        memory_limit_mib=memory_mib,
        runtime_platform=ecs.RuntimePlatform(
            operating_system_family=ecs.OperatingSystemFamily.LINUX, cpu_architecture=architecture
        ),
        volumes=[ecs.Volume(name=VOLUME, efs_volume_configuration=volume_of(files, folder))],
    )
    for statement in (folder_statement(files, folder), *statements):
        definition.add_to_task_role_policy(statement)
    container = definition.add_container(
        CONTAINER,
        image=image,
        environment=environment,
        secrets=secrets,
        readonly_root_filesystem=True,
        port_mappings=[ecs.PortMapping(container_port=PORT)],
        stop_timeout=Duration.seconds(STOP_S),
        logging=ecs.LogDriver.aws_logs(
            stream_prefix="outrider", log_group=log_group, mode=ecs.AwsLogDriverMode.NON_BLOCKING
        ),
        health_check=ecs.HealthCheck(
            command=list(ALIVE_COMMAND),
            interval=Duration.seconds(15),
            timeout=Duration.seconds(5),
            retries=5,
            start_period=Duration.seconds(60),
        ),
    )
    container.add_mount_points(ecs.MountPoint(source_volume=VOLUME, container_path=DATA_DIR, read_only=False))
    Tags.of(definition).add(MANAGED_TAG, "false")  # one that guards itself would be asked about itself
    _explain(definition)
    return definition


def make_service(
    scope: Construct,
    name: str,
    *,
    cluster: ecs.ICluster,
    definition: ecs.FargateTaskDefinition,
    security_group: ec2.ISecurityGroup,
    public_subnets: bool,
) -> ecs.FargateService:
    """The service of one collector: one task, never two."""
    return ecs.FargateService(
        scope,
        name,
        cluster=cluster,
        task_definition=definition,
        platform_version=ecs.FargatePlatformVersion.VERSION1_4,
        desired_count=1,
        min_healthy_percent=0,
        max_healthy_percent=100,
        availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,  # it would start the second one first
        circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
        health_check_grace_period=Duration.seconds(START_S),
        security_groups=[security_group],
        assign_public_ip=public_subnets,
        vpc_subnets=ec2.SubnetSelection(
            subnet_type=ec2.SubnetType.PUBLIC if public_subnets else ec2.SubnetType.PRIVATE_WITH_EGRESS
        ),
        enable_execute_command=False,
        propagate_tags=ecs.PropagatedTagSource.SERVICE,
    )


def _explain(definition: ecs.FargateTaskDefinition) -> None:
    """Why cdk-nag's complaints about it do not hold."""
    acknowledge(
        definition,
        {"AwsSolutions-ECS2": "the variables hold addresses and choices; every token and password is a secret"},
    )
