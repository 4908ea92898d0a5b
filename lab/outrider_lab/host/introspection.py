"""The ECS agent's introspection API, as a container instance serves it on port 51678: documents out of plain facts.

Source: Amazon ECS Developer Guide, "Amazon ECS container introspection".
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from outrider_lab.metadata import ACCOUNT, REGION, ContainerFacts, TaskFacts, rfc3339, task_arn

Json = dict[str, Any]
"""Any: the documents are JSON for whoever asks."""

INSTANCE: Final = "0123456789abcdef0123456789abcdef"
VERSION: Final = "Amazon ECS Agent - v1.90.0 (*outrider-lab)"


def answer_agent(cluster: str, tasks: Sequence[TaskFacts], path: str) -> Json | None:
    """The document at a path of the API, or None where the agent would answer 404."""
    parts = urlsplit(path)
    match parts.path.rstrip("/"):
        case "":
            return {"AvailableCommands": ["/v1/metadata", "/v1/tasks", "/license"]}
        case "/v1/metadata":
            arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:container-instance/{cluster}/{INSTANCE}"
            return {"Cluster": cluster, "ContainerInstanceArn": arn, "Version": VERSION}
        case "/v1/tasks":
            return _tasks(tasks, parse_qs(parts.query))
    return None


def _tasks(tasks: Sequence[TaskFacts], query: dict[str, list[str]]) -> Json | None:
    """All tasks, or the one that is asked for by its ARN or by a container of it."""
    if not query.keys() & {"taskarn", "dockerid"}:
        return {"Tasks": [task_document(task) for task in tasks]}
    arns, containers = query.get("taskarn", []), query.get("dockerid", [])
    for task in tasks:
        ids = {container.docker_id for container in task.containers}
        if task_arn(task.task_id, task.cluster) in arns or ids.intersection(containers):
            return task_document(task)
    return None


def task_document(task: TaskFacts) -> Json:
    """A task as the agent tells of it."""
    return {
        "Arn": task_arn(task.task_id, task.cluster),
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING" if all(one.started_at_ns for one in task.containers) else "PENDING",
        "Family": task.family,
        "Version": task.revision,
        "Containers": [_container(task, container) for container in task.containers],
    }


def docker_name(task: TaskFacts, container: ContainerFacts) -> str:
    """The name that the agent gives a container at Docker."""
    return f"ecs-{task.family}-{task.revision}-{container.name}-{container.docker_id[:20]}"


def _container(task: TaskFacts, container: ContainerFacts) -> Json:
    document: Json = {
        "DockerId": container.docker_id,
        "DockerName": docker_name(task, container),
        "Name": container.name,
        "Image": container.image,
        "ImageID": "sha256:" + "0" * 64,
    }
    if container.created_at_ns:
        document["CreatedAt"] = rfc3339(container.created_at_ns)
    if container.started_at_ns:
        document["StartedAt"] = rfc3339(container.started_at_ns)
    if task.network != "host":
        document["Networks"] = [{"NetworkMode": task.network, "IPv4Addresses": [task.address]}]
    return document
