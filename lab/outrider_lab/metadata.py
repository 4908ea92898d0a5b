"""The task metadata endpoint v4, as ECS serves it on Fargate and on EC2: documents worked out of plain facts.

Source: Amazon ECS Developer Guide, "Task metadata endpoint version 4 for tasks on Fargate" and "… on Amazon EC2".
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

Json = dict[str, Any]
"""Any: the documents are JSON for whoever asks; nothing of the lab reads them back."""

REGION: Final = "eu-central-1"
ACCOUNT: Final = "000000000000"
CLUSTER: Final = "outrider-lab"
FAMILY: Final = "outrider-lab"
REVISION: Final = "1"


class ContainerFacts(Struct, frozen=True):
    """A container as the endpoint tells of it. Times are ns since the epoch, 0 when not yet."""

    docker_id: str
    name: str
    image: str
    created_at_ns: int = 0
    started_at_ns: int = 0
    restart_count: int = 0


class TaskFacts(Struct, frozen=True):
    """A task as the endpoint tells of it."""

    task_id: str
    address: str
    containers: tuple[ContainerFacts, ...] = ()
    cluster: str = CLUSTER
    family: str = FAMILY
    revision: str = REVISION
    launch_type: str = "FARGATE"
    network: str = "awsvpc"


def task_arn(task_id: str, cluster: str = CLUSTER) -> str:
    """The ARN of a lab task."""
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{task_id}"


def cluster_arn(cluster: str = CLUSTER) -> str:
    """The ARN of the cluster lab tasks are in."""
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{cluster}"


def rfc3339(at_ns: int) -> str:
    """A time as ECS writes it: UTC, nanoseconds, `Z`."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def container_document(task: TaskFacts, container: ContainerFacts) -> Json:
    """What `${ECS_CONTAINER_METADATA_URI_V4}` answers."""
    arn = task_arn(task.task_id, task.cluster)
    document: Json = {
        "DockerId": container.docker_id,
        "Name": container.name,
        "DockerName": container.name,
        "Image": container.image,
        "ImageID": "sha256:" + "0" * 64,
        "Labels": {
            "com.amazonaws.ecs.cluster": cluster_arn(task.cluster),
            "com.amazonaws.ecs.container-name": container.name,
            "com.amazonaws.ecs.task-arn": arn,
            "com.amazonaws.ecs.task-definition-family": task.family,
            "com.amazonaws.ecs.task-definition-version": task.revision,
        },
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING" if container.started_at_ns else "PULLED",
        "Limits": {"CPU": 2},
        "Type": "NORMAL",
        "ContainerARN": f"{arn.replace(':task/', ':container/')}/{container.docker_id[-10:]}",
        "Networks": [{"NetworkMode": task.network, "IPv4Addresses": [task.address], "AttachmentIndex": 0}],
        "Snapshotter": "overlayfs",
        "RestartCount": container.restart_count,
    }
    if container.created_at_ns:
        document["CreatedAt"] = rfc3339(container.created_at_ns)
    if container.started_at_ns:
        document["StartedAt"] = rfc3339(container.started_at_ns)
    return document


def task_document(task: TaskFacts) -> Json:
    """What `${ECS_CONTAINER_METADATA_URI_V4}/task` answers."""
    running = all(container.started_at_ns for container in task.containers)
    return {
        "Cluster": cluster_arn(task.cluster),
        "TaskARN": task_arn(task.task_id, task.cluster),
        "Family": task.family,
        "Revision": task.revision,
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING" if running else "PENDING",
        "Limits": {"CPU": 2, "Memory": 4096},
        "AvailabilityZone": REGION + "a",
        "LaunchType": task.launch_type,
        "Containers": [container_document(task, container) for container in task.containers],
    }


def answer_path(tasks: Sequence[TaskFacts], path: str) -> Json | None:
    """The document at a path of the endpoint, or None where ECS would answer 404."""
    parts = path.strip("/").split("/")
    if len(parts) not in (2, 3) or parts[0] != "v4":
        return None
    for task in tasks:
        for container in task.containers:
            if container.docker_id == parts[1]:
                if len(parts) == 2:
                    return container_document(task, container)
                return task_document(task) if parts[2] == "task" else None
    return None
