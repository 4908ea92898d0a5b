"""Where a collector keeps what it was told: a folder of its own on EFS, and SQLite there or Aurora PostgreSQL.

Facts that shape this file:

- A batch is acknowledged when it is on the collector's disk, before it is in any database. So each collector's folder
  must outlive its task: a file system, not the task's own storage. Collectors that share Aurora have a folder each.
- SQLite's WAL wants one machine: one task at a time may have the folder. The services see to that.
- libpq reads PGUSER and PGPASSWORD from the environment, so the URL in the task definition holds no secret.
"""

from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from constructs import Construct

from outrider_cdk.constructs.acknowledging import acknowledge
from outrider_cdk.constructs.collector.image import USER_ID

DATABASE: Final = "outrider"
POSTGRES: Final = rds.AuroraPostgresEngineVersion.of("17.7", "17")
BACKUP_DAYS: Final = 7


def make_files(scope: Construct, *, vpc: ec2.IVpc, removal_policy: RemovalPolicy) -> efs.FileSystem:
    """The file system of the collectors' folders, encrypted and backed up; nobody without an access point gets in."""
    return efs.FileSystem(
        scope,
        "Files",
        vpc=vpc,
        encrypted=True,
        enable_automatic_backups=True,
        allow_anonymous_access=False,
        throughput_mode=efs.ThroughputMode.ELASTIC,
        removal_policy=removal_policy,
    )


def make_folder(files: efs.FileSystem, number: int) -> efs.AccessPoint:
    """A folder that one collector has for itself, as the user its image runs as."""
    owner = str(USER_ID)
    return files.add_access_point(
        f"Folder{number}",
        path=f"/collector-{number}",
        create_acl=efs.Acl(owner_uid=owner, owner_gid=owner, permissions="0700"),
        posix_user=efs.PosixUser(uid=owner, gid=owner),
    )


def volume_of(files: efs.FileSystem, folder: efs.AccessPoint) -> ecs.EfsVolumeConfiguration:
    """The folder as a volume: encrypted on its way, and opened by the task's role."""
    return ecs.EfsVolumeConfiguration(
        file_system_id=files.file_system_id,
        transit_encryption="ENABLED",
        authorization_config=ecs.AuthorizationConfig(access_point_id=folder.access_point_id, iam="ENABLED"),
    )


def folder_statement(files: efs.FileSystem, folder: efs.AccessPoint) -> iam.PolicyStatement:
    """What a collector may do with the file system."""
    # Mount and write its own folder, and no other: not as root, and through its own access point alone.
    return iam.PolicyStatement(
        sid="ItsOwnFolder",
        actions=["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
        resources=[files.file_system_arn],
        conditions={"StringEquals": {"elasticfilesystem:AccessPointArn": folder.access_point_arn}},
    )


def make_aurora(
    scope: Construct, *, vpc: ec2.IVpc, capacity: tuple[float, float], removal_policy: RemovalPolicy
) -> rds.DatabaseCluster:
    """Aurora PostgreSQL, serverless, between so many capacity units; its owner's password is in Secrets Manager."""
    cluster = rds.DatabaseCluster(
        scope,
        "Database",
        engine=rds.DatabaseClusterEngine.aurora_postgres(version=POSTGRES),
        writer=rds.ClusterInstance.serverless_v2("Writer", publicly_accessible=False),
        readers=[rds.ClusterInstance.serverless_v2("Reader", publicly_accessible=False, scale_with_writer=True)],
        serverless_v2_min_capacity=capacity[0],
        serverless_v2_max_capacity=capacity[1],
        credentials=rds.Credentials.from_generated_secret(DATABASE),
        default_database_name=DATABASE,
        vpc=vpc,
        vpc_subnets=ec2.SubnetSelection(subnets=_inner_subnets(vpc)),
        storage_encrypted=True,
        deletion_protection=removal_policy != RemovalPolicy.DESTROY,
        backup=rds.BackupProps(retention=Duration.days(BACKUP_DAYS)),
        copy_tags_to_snapshot=True,
        cloudwatch_logs_exports=["postgresql"],
        parameters={"rds.force_ssl": "1"},
        removal_policy=removal_policy,
    )
    acknowledge(cluster, {
        "AwsSolutions-RDS6": "the collector signs in with a password: its driver makes no IAM tokens",
        "AwsSolutions-RDS11": "the port is no secret: the security group lets the collectors in alone",
        "AwsSolutions-SMG4": "a rotated password would reach running tasks by their restart alone; see docs/deploy.md",
        **({} if removal_policy != RemovalPolicy.DESTROY else {
            "AwsSolutions-RDS10": "the stack was asked to destroy its data with itself"
        }),
    })  # fmt: skip
    return cluster


def database_url(cluster: rds.DatabaseCluster) -> str:
    """Where the database is, without user and password; TLS is demanded."""
    at = cluster.cluster_endpoint
    return f"postgresql://{at.hostname}:{at.port}/{DATABASE}?sslmode=require"


def database_secrets(cluster: rds.DatabaseCluster) -> dict[str, ecs.Secret]:
    """User and password, under the names that libpq looks for."""
    secret = cluster.secret
    assert secret is not None  # made with the cluster
    return {
        "PGUSER": ecs.Secret.from_secrets_manager(secret, "username"),
        "PGPASSWORD": ecs.Secret.from_secrets_manager(secret, "password"),
    }


def _inner_subnets(vpc: ec2.IVpc) -> list[ec2.ISubnet]:
    """Those without a way out where the network has them, else those that are private."""
    return list(vpc.isolated_subnets) or list(vpc.private_subnets)
