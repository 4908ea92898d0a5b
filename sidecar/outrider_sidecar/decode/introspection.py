"""The ECS agent's introspection API, version 1: its JSON turned into what we use of it. Pure.

`/v1/metadata` tells of the agent itself, `/v1/tasks` of every task of the instance and its containers; the agent's own
helpers (pause containers) are left out there. Older agents tell neither image nor times of a container. Source: Amazon
ECS Developer Guide, "Amazon ECS container introspection".
"""

import json
from typing import Any, Final

from msgspec import Struct

from outrider_sidecar.decode.metadata import ContainerFacts, TaskFacts, parse_time_ns
from outrider_wire.findings import TaskView
from outrider_wire.text import clean_text

MAX_TASKS: Final = 4_096
MAX_CONTAINERS: Final = 256
"""Most tasks of an instance, and containers of a task, that are believed."""


class InstanceFacts(Struct, frozen=True):
    """The container instance. `arn` is empty while the agent is not registered."""

    cluster: str
    arn: str = ""
    agent: str = ""


def parse_instance(raw: bytes) -> InstanceFacts:
    """The answer of `/v1/metadata`. Raises ValueError for anything else."""
    document = _object(raw, "agent metadata")
    if not isinstance(document.get("Cluster"), str):
        raise ValueError("agent metadata: no Cluster")
    return InstanceFacts(
        _text(document, "Cluster"), _text(document, "ContainerInstanceArn"), _text(document, "Version")
    )


def parse_tasks(raw: bytes, *, cluster: str = "") -> tuple[TaskFacts, ...]:
    """The answer of `/v1/tasks`; `cluster` is what `/v1/metadata` told. Raises ValueError for anything else.

    A task or container that is no object, or has no name to be known by, is left out.
    """
    tasks = _object(raw, "agent tasks").get("Tasks")
    if tasks is None:
        return ()  # an agent without tasks writes null
    if not isinstance(tasks, list):
        raise ValueError("agent tasks: Tasks is no list")
    return tuple(_task(task, cluster) for task in tasks[:MAX_TASKS] if isinstance(task, dict) and _text(task, "Arn"))


def task_id_of(arn: str) -> str:
    """The id at the end of a task's ARN, `arn:…:task/[cluster/]id`, which is what cgroup paths hold; else empty."""
    return arn.rpartition("/")[2] if ":task/" in arn else ""


def cluster_of(arn: str) -> str:
    """The cluster in a task's ARN of the newer form; empty in the older one, which has none."""
    parts = arn.partition(":task/")[2].split("/")
    return parts[0] if len(parts) == 2 else ""


def _task(task: dict[str, Any], cluster: str) -> TaskFacts:
    arn = _text(task, "Arn")
    containers = task.get("Containers")
    found = containers[:MAX_CONTAINERS] if isinstance(containers, list) else []
    return TaskFacts(
        TaskView(arn, cluster_of(arn) or cluster, _text(task, "Family"), _text(task, "Version")),
        tuple(_container(c) for c in found if isinstance(c, dict) and _text(c, "DockerId")),
    )


def _container(container: dict[str, Any]) -> ContainerFacts:
    return ContainerFacts(
        id=_text(container, "DockerId"),
        name=_text(container, "Name"),
        image=_text(container, "Image"),
        created_at_ns=parse_time_ns(_text(container, "CreatedAt")),
    )


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(raw.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError(f"{what}: nested too deep") from error
    if not isinstance(document, dict):
        raise ValueError(f"{what}: not an object")
    return document


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    return clean_text(value.encode("utf-8", "replace"), limit=2048) if isinstance(value, str) else ""
