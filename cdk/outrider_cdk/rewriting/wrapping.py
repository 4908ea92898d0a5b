"""Where the definition is in the document that was given: at its root, or below `taskDefinition`.

`aws ecs describe-task-definition` wraps the definition in an object with `taskDefinition` and `tags`.
"""

from collections.abc import Mapping
from typing import Any, Final

from outrider_cdk.rewriting.problems import Path, Problem
from outrider_cdk.rewriting.shapes import is_intrinsic

WRAPPER: Final = "taskDefinition"
DEPTH: Final = 100
"""Deepest nesting that is read. A definition has eight levels."""


def locate(document: Any) -> tuple[Path, Mapping[str, Any]] | Problem:
    """The path to the definition and the definition, or why there is none."""
    path: Path = ()
    if (
        isinstance(document, dict)
        and "containerDefinitions" not in document
        and isinstance(document.get(WRAPPER), dict)
    ):
        path, document = (WRAPPER,), document[WRAPPER]
    if not isinstance(document, dict) or is_intrinsic(document):
        return _error(path, "not-a-definition", f"{_kind(document)} is no task definition.")
    if is_too_deep(document):
        return _error(path, "too-deep", f"It is nested more than {DEPTH} levels deep.")
    return path, document


def is_too_deep(value: Any) -> bool:
    """Whether lists and objects lie within each other more than DEPTH times."""
    level = [value]
    for _ in range(DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _kind(value: Any) -> str:
    """What JSON calls the type of a value."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number").capitalize()


def _error(path: Path, code: str, says: str) -> Problem:
    remedy = "Give what `aws ecs register-task-definition` takes, or what `aws ecs describe-task-definition` prints."
    return Problem(path=path, code=code, severity="error", says=says, remedy=remedy)
