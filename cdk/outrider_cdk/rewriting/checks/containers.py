"""The list of containers: there, as many as ECS takes, and each to be told from the others."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.branches import IF, leaves_of
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import find_sidecar, others_of, version_of
from outrider_cdk.rewriting.problems import Problem, error, warning
from outrider_cdk.rewriting.shapes import NO_VALUE, is_absent, is_intrinsic

FIELD: Final = "containerDefinitions"
MOST: Final = 10
"""Containers in a task definition (ECS service quotas, not to be raised)."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


def check_written(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """A list that the sidecar can be put into, and containers that can be changed where they are to be."""
    containers = task.get(FIELD)
    if not isinstance(containers, list):
        yield _no_list(task)
        return
    for index, container in enumerate(containers):
        for path, leaf in leaves_of(container) if is_intrinsic(container) else ():
            at = (FIELD, index, *path)
            if version_of(leaf):
                says = "This sidecar is behind a condition, where it cannot be brought up to date."
                yield error(at, "second-sidecar", says, "Take it out, by hand.")
            elif options.depends_on and isinstance(leaf, dict) and not is_intrinsic(leaf):
                says = "A container behind a condition cannot be made to wait for the sidecar."
                yield error(at, "depends-on", says, "Leave depends_on out, or write the container out.")


def _no_list(task: Mapping[str, Any]) -> Problem:
    containers = task.get(FIELD)
    remedy = "Give a task definition with at least one container, written out, in containerDefinitions."
    says = "This is no list of containers." if FIELD in task else "There is no list of containers."
    if is_intrinsic(containers):
        says = "What containers these are is known at deployment only, and the sidecar cannot be put among them."
        if isinstance(containers, dict) and IF in containers:
            remedy = "Write a list here, and in it each container that the condition decides on, behind Fn::If."
    return error((FIELD,) if FIELD in task else (), "no-containers", says, remedy)


def check_containers(task: Mapping[str, Any], _options: GuardOptions) -> Iterator[Problem]:
    """Objects, at least one, with room for one more."""
    containers = task.get(FIELD)
    if not isinstance(containers, list):
        return
    containers = [each for each in containers if each != NO_VALUE]
    remedy = "Give a task definition with at least one container, written out, in containerDefinitions."
    if not others_of(task) and not any(is_intrinsic(container) for container in containers):
        yield error((FIELD,), "no-containers", "There is no container to be guarded.", remedy)
    if len(containers) + (find_sidecar(task) is None) > MOST:
        says = f"There are {len(containers)} containers, and ECS takes {MOST} with the sidecar."
        yield error((FIELD,), "too-many-containers", says, "Split the task, or take a container out.")
    for index, container in enumerate(task[FIELD]):
        if container == NO_VALUE:
            continue
        if is_intrinsic(container):
            says = "What container this will be is known at deployment only; it is guarded, but was not looked at."
            yield warning((FIELD, index), "container-unknown", says, "Write the container out, to have it looked at.")
        elif not isinstance(container, dict):
            says = "This is no container definition."
            yield error((FIELD, index), "not-a-container", says, "Write an object with name and image.")


def check_names(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Names that ECS would take, none of them twice, and none the sidecar's."""
    found = find_sidecar(task)
    sidecars = options.container_name if found is None else found[1].get("name")
    seen: set[str] = set()
    for index, container in others_of(task):
        name, path = container.get("name"), (FIELD, index, "name")
        if version_of(container):
            says = "This is a second sidecar."
            yield error((FIELD, index), "second-sidecar", says, "Take one of the two out, by hand.")
        elif is_absent(name) or not isinstance(name, str | dict):
            yield error(path, "no-name", "The container has no name.", "Give each container a name of its own.")
        elif isinstance(name, str):
            yield from _judge(name, seen, path, taken=name == sidecars)
            seen.add(name)


def _judge(name: str, seen: set[str], path: tuple[str | int, ...], *, taken: bool) -> Iterator[Problem]:
    if name in seen:
        says = f"A second container is called {name!r}."
        yield error(path, "duplicate-name", says, "Give each container a name of its own.")
    elif taken:
        says = f"The container {name!r} has the sidecar's name, and is not of this rewriter's making."
        remedy = "Take it out where it is a sidecar made by hand, else choose another name (container_name)."
        yield error(path, "name-taken", says, remedy)
    elif not _NAME.fullmatch(name) and "${" not in name:
        says = f"ECS does not take {name!r} for a container's name."
        yield warning(path, "bad-name", says, "Use letters, digits, hyphens and underscores, at most 255.")
