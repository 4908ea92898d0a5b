"""From what DescribeTaskDefinition returned to what RegisterTaskDefinition takes."""

from collections.abc import Mapping
from typing import Any, Final

from outrider_cdk.rewriting.wrapping import WRAPPER

READ_ONLY: Final = (
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
)
"""What ECS says of a definition and takes from nobody (ECS API reference, TaskDefinition)."""


def registrable(document: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of RegisterTaskDefinition for a definition, wrapped or not, with its tags.

    `guard` and `unguard` keep the keys that only ECS writes; this leaves them out. Nothing else is changed.
    """
    wrapped = document.get(WRAPPER)
    if "containerDefinitions" in document or not isinstance(wrapped, dict):
        return {key: value for key, value in document.items() if key not in READ_ONLY}
    tags = {"tags": document["tags"]} if document.get("tags") else {}
    return {**{key: value for key, value in wrapped.items() if key not in READ_ONLY}, **tags}
