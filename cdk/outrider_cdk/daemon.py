"""One agent for each machine of a cluster, as ECS takes it: a daemon service on EC2, and a Managed Daemon.

Each function returns the parameters of one AWS call (RegisterTaskDefinition, CreateService,
RegisterDaemonTaskDefinition, CreateDaemon), to be sent as they are. Nothing here knows an account: names, roles and
images are arguments, and the defaults are the placeholders of the committed examples.
"""

from collections.abc import Mapping
from typing import Any, Final

from outrider_cdk.limits import GIB, MIB, cpu_units, memory_limit_bytes
from outrider_cdk.unit import CAPABILITIES, JOURNAL_DIR

Json = dict[str, Any]
"""Any: the parameters of an AWS call, judged by botocore's model in the tests."""

NAME: Final = "outrider"
IMAGE: Final = "OUTRIDER-IMAGE"
COLLECTOR_URL: Final = "https://collector.example:8440"
TOKEN_ARN: Final = "arn:aws:secretsmanager:REGION:111122223333:secret:outrider-token"
EXECUTION_ROLE: Final = "arn:aws:iam::111122223333:role/outrider-execution"
TASK_ROLE: Final = "arn:aws:iam::111122223333:role/outrider-task"
CLUSTER: Final = "arn:aws:ecs:REGION:111122223333:cluster/CLUSTER"
CAPACITY_PROVIDER: Final = "arn:aws:ecs:REGION:111122223333:capacity-provider/MANAGED-INSTANCES"

VOLUME: Final = "journal"
JOURNAL_MOUNT: Final = "/outrider"
STOP_TIMEOUT_S: Final = 10
"""Long enough to send what is left; a machine's containers do not end because Outrider is replaced."""
RESERVED_MIB: Final = 64
OPEN_FILES: Final = 65536


def task_definition(
    *,
    image: str = IMAGE,
    collector_url: str = COLLECTOR_URL,
    token_arn: str = TOKEN_ARN,
    execution_role_arn: str = EXECUTION_ROLE,
    task_role_arn: str = TASK_ROLE,
    log_options: Mapping[str, str] | None = None,
    machine_bytes: int = 16 * GIB,
    cpus: int = 4,
    environment: Mapping[str, str] | None = None,
) -> Json:
    """RegisterTaskDefinition for EC2 machines of one size; `environment` adds settings.

    `pidMode: host` shows it the machine's processes and the proc connector answers it; `networkMode: host` as well,
    and the ECS agent's introspection is at localhost. Five capabilities instead of `privileged`, no Docker socket.
    """
    container = {
        **_container(image, collector_url, token_arn, log_options, machine_bytes, environment),
        "linuxParameters": {
            "capabilities": {"drop": ["ALL"], "add": [name.removeprefix("CAP_") for name, _ in CAPABILITIES]}
        },
        "dockerSecurityOptions": ["no-new-privileges"],
    }
    return {
        "family": NAME,
        "requiresCompatibilities": ["EC2"],
        "pidMode": "host",
        "networkMode": "host",
        "cpu": str(cpu_units(cpus)),
        "memory": str(_memory_mib(machine_bytes)),
        "executionRoleArn": execution_role_arn,
        "taskRoleArn": task_role_arn,
        "volumes": _volumes(),
        "containerDefinitions": [container],
    }


def daemon_service(*, cluster: str = CLUSTER, task_definition_name: str = NAME) -> Json:
    """CreateService: one task on each machine of the cluster, now and later."""
    return {
        "cluster": cluster,
        "serviceName": NAME,
        "taskDefinition": task_definition_name,
        "launchType": "EC2",
        "schedulingStrategy": "DAEMON",
        "deploymentConfiguration": {
            "minimumHealthyPercent": 0,
            "maximumPercent": 100,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
        "propagateTags": "TASK_DEFINITION",
        "enableECSManagedTags": True,
        "enableExecuteCommand": False,
    }


def daemon_task_definition(
    *,
    image: str = IMAGE,
    collector_url: str = COLLECTOR_URL,
    token_arn: str = TOKEN_ARN,
    execution_role_arn: str = EXECUTION_ROLE,
    task_role_arn: str = TASK_ROLE,
    log_options: Mapping[str, str] | None = None,
    machine_bytes: int = 16 * GIB,
    cpus: int = 4,
    environment: Mapping[str, str] | None = None,
) -> Json:
    """RegisterDaemonTaskDefinition for ECS Managed Instances; `pidMode: shared` is the machine's PID namespace.

    Privileged, because these machines run an operating system that keeps one container from another's files by SELinux,
    which no capability overrides. SYS_ADMIN in the machine's PID namespace is no less.
    """
    container = _container(image, collector_url, token_arn, log_options, machine_bytes, environment)
    return {
        "family": NAME,
        "pidMode": "shared",
        "cpu": str(cpu_units(cpus)),
        "memory": str(_memory_mib(machine_bytes)),
        "executionRoleArn": execution_role_arn,
        "taskRoleArn": task_role_arn,
        "volumes": _volumes(),
        "containerDefinitions": [{**container, "privileged": True}],
    }


def managed_daemon(
    *,
    cluster: str = CLUSTER,
    capacity_providers: tuple[str, ...] = (CAPACITY_PROVIDER,),
    daemon_task_definition_arn: str = f"arn:aws:ecs:REGION:111122223333:daemon-task-definition/{NAME}:1",
) -> Json:
    """CreateDaemon. Not critical: ECS would drain a machine, tasks and all, because its guard has failed."""
    return {
        "daemonName": NAME,
        "clusterArn": cluster,
        "daemonTaskDefinitionArn": daemon_task_definition_arn,
        "capacityProviderArns": list(capacity_providers),
        "critical": False,
        "propagateTags": "DAEMON",
        "enableECSManagedTags": True,
        "enableExecuteCommand": False,
    }


def task_role_policy(*, cluster: str = CLUSTER) -> Json:
    """The task role's policy: what selectors by tag need to read, and nothing else. Without them no role is needed."""
    region, account, name = cluster.split(":")[3], cluster.split(":")[4], cluster.rpartition("/")[2]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TagsOfTasks",
                "Effect": "Allow",
                "Action": "ecs:DescribeTasks",
                "Resource": f"arn:aws:ecs:{region}:{account}:task/{name}/*",
            },
            {"Sid": "TagsOfTheCluster", "Effect": "Allow", "Action": "ecs:DescribeClusters", "Resource": cluster},
        ],
    }


def _container(
    image: str,
    collector_url: str,
    token_arn: str,
    log_options: Mapping[str, str] | None,
    machine_bytes: int,
    environment: Mapping[str, str] | None,
) -> Json:
    settings = {
        "OUTRIDER_MODE": "host",
        "OUTRIDER_COLLECTOR_URL": collector_url,
        "OUTRIDER_STOP_TIMEOUT_S": str(STOP_TIMEOUT_S),
        **(environment or {}),
    }
    logs = log_options or {"awslogs-group": "/outrider", "awslogs-region": "REGION", "awslogs-stream-prefix": NAME}
    return {
        "name": NAME,
        "image": image,
        "essential": True,
        "user": "0",
        "readonlyRootFilesystem": True,
        "memory": _memory_mib(machine_bytes),
        "memoryReservation": RESERVED_MIB,
        "environment": [{"name": name, "value": value} for name, value in settings.items()],
        "secrets": [{"name": "OUTRIDER_TOKEN", "valueFrom": token_arn}],
        "mountPoints": [{"sourceVolume": VOLUME, "containerPath": JOURNAL_MOUNT, "readOnly": False}],
        "ulimits": [{"name": "nofile", "softLimit": OPEN_FILES, "hardLimit": OPEN_FILES}],
        "healthCheck": {
            "command": ["CMD", "outrider", "health"],
            "interval": 10,
            "timeout": 5,
            "retries": 3,
            "startPeriod": 30,
        },
        "restartPolicy": {"enabled": True, "restartAttemptPeriod": 60},
        "stopTimeout": STOP_TIMEOUT_S,
        "logConfiguration": {"logDriver": "awslogs", "options": {**logs, "mode": "non-blocking"}},
    }


def _volumes() -> list[Json]:
    """A directory of the machine, so that what was seen outlives the task."""
    return [{"name": VOLUME, "host": {"sourcePath": JOURNAL_DIR}}]


def _memory_mib(machine_bytes: int) -> int:
    return memory_limit_bytes(machine_bytes) // MIB
