"""The list of containers: there, and each to be told from the others."""

from collections.abc import Iterator, Mapping
from typing import Any

from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.problems import Problem
from outrider_cdk.rewriting.shapes import is_absent, is_intrinsic

FIELD = "containerDefinitions"


def check_containers(task: Mapping[str, Any], _options: GuardOptions) -> Iterator[Problem]:
    """A list of objects with names; at most the ten that ECS takes."""
    containers = task.get(FIELD)
    if not isinstance(containers, list) or not containers:
        yield Problem(
            path=(FIELD,) if FIELD in task else (),
            code="no-containers",
            severity="error",
            says="There is no list of containers." if not containers else "This is no list of containers.",
            remedy="Give a task definition with at least one container in containerDefinitions.",
        )
        return
    for index, container in enumerate(containers):
        if not isinstance(container, dict) or is_intrinsic(container):
            yield Problem(
                path=(FIELD, index),
                code="not-a-container",
                severity="error",
                says="This is no container definition.",
                remedy="Write the container out, as an object with name and image.",
            )


def check_names(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Names that ECS would take, none of them twice, and none the sidecar's."""
    seen: set[str] = set()
    for index, container in others_of(task):
        name = container.get("name")
        if is_intrinsic(name):
            continue
        says, code, remedy = "", "", "Give each container a name of its own."
        if not isinstance(name, str) or is_absent(name):
            says, code = "The container has no name.", "no-name"
        elif name in seen:
            says, code = f"A second container is called {name!r}.", "duplicate-name"
        elif name == options.container_name:
            says, code = f"The container {name!r} is not one that this rewriter made.", "name-taken"
            remedy = "Take it out where it is a sidecar made by hand, else choose another name (container_name)."
        if says:
            yield Problem(path=(FIELD, index, "name"), code=code, severity="error", says=says, remedy=remedy)
        if isinstance(name, str):
            seen.add(name)
