"""The ECS task metadata endpoint, version 4: its JSON turned into what we use of it. Pure."""

import json
from typing import Any

from msgspec import Struct

from outrider_wire.findings import TaskView
from outrider_wire.text import clean_text
from outrider_wire.timestamps import from_rfc3339


class ContainerFacts(Struct, frozen=True):
    """One container of the task. `created_at_ns` is 0 where untold; `kind` is `NORMAL` or one of ECS's own."""

    id: str
    name: str = ""
    image: str = ""
    created_at_ns: int = 0
    kind: str = "NORMAL"


class TaskFacts(Struct, frozen=True):
    """The task and its containers."""

    task: TaskView
    containers: tuple[ContainerFacts, ...] = ()


def parse_task(raw: bytes) -> TaskFacts:
    """The answer of `${ECS_CONTAINER_METADATA_URI_V4}/task`. Raises ValueError for anything else."""
    document = json.loads(raw.decode("utf-8", "replace"))
    if not isinstance(document, dict) or not isinstance(document.get("TaskARN"), str):
        raise ValueError("task metadata: no TaskARN")
    containers = document.get("Containers")
    return TaskFacts(
        TaskView(
            arn=_text(document, "TaskARN"),
            cluster=_text(document, "Cluster"),
            family=_text(document, "Family"),
            revision=_text(document, "Revision"),
        ),
        tuple(parse_container(c) for c in containers if isinstance(c, dict)) if isinstance(containers, list) else (),
    )


def parse_container(document: dict[str, Any]) -> ContainerFacts:
    """One element of the task's Containers, or the answer of the bare `${ECS_CONTAINER_METADATA_URI_V4}`."""
    return ContainerFacts(
        id=_text(document, "DockerId"),
        name=_text(document, "Name"),
        image=_text(document, "Image"),
        created_at_ns=parse_time_ns(_text(document, "CreatedAt")),
        kind=_text(document, "Type") or "NORMAL",
    )


def parse_time_ns(text: str) -> int:
    """RFC 3339 in ns since the epoch; 0 for anything else."""
    try:
        return from_rfc3339(text)
    except ValueError:
        return 0


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    return clean_text(value.encode("utf-8", "replace"), limit=2048) if isinstance(value, str) else ""
