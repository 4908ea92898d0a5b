"""Reading a definition that may be anything: each question has an answer for every JSON value.

Intrinsic functions of CloudFormation (`{"Ref": …}`, `{"Fn::Sub": …}`) stand for values that are known at deployment
only; they are never taken for what they are not.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.problems import Path

Json = Any
"""Whatever json.loads returns."""

NO_VALUE: Final = {"Ref": "AWS::NoValue"}
"""CloudFormation leaves a property out that has this value."""


LONGEST_COMMAND: Final = 20_000
"""Characters of one command that are looked at."""


def is_intrinsic(value: Json) -> bool:
    """Whether the value is known at deployment only."""
    return (
        isinstance(value, dict)
        and len(value) == 1
        and all(isinstance(key, str) and (key in ("Ref", "Condition") or key.startswith("Fn::")) for key in value)
    )


def is_absent(value: Json) -> bool:
    """Whether a field with this value is as good as not there."""
    return value is None or value == NO_VALUE or value == ""


def as_text(value: Json) -> str:
    """The value where it is text, else the empty string."""
    return value if isinstance(value, str) else ""


def as_number(value: Json) -> int | None:
    """The value where it is a whole number, or text of one; None else. A number may be written either way."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 12:
        return int(value)
    return None


def as_object(value: Json) -> Mapping[str, Json]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) and not is_intrinsic(value) else {}


def as_list(value: Json) -> list[Json]:
    """The value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def containers_of(task: Mapping[str, Json]) -> Iterator[tuple[int, Mapping[str, Json]]]:
    """The containers that are objects, each with its place in `containerDefinitions`."""
    for index, container in enumerate(as_list(task.get("containerDefinitions"))):
        if isinstance(container, dict) and not is_intrinsic(container):
            yield index, container


def words_of(container: Mapping[str, Json]) -> list[str]:
    """`entryPoint` and `command`, one after the other, where they are text."""
    return [
        word for field in ("entryPoint", "command") for word in as_list(container.get(field)) if isinstance(word, str)
    ]


def commands_of(container: Mapping[str, Json], at: Path = ()) -> Iterator[tuple[Path, str]]:
    """What the definition has the container run, and where it says so: each field's words in one line, bounded."""
    health = as_object(container.get("healthCheck"))
    for path, words in (
        (("entryPoint",), container.get("entryPoint")),
        (("command",), container.get("command")),
        (("healthCheck", "command"), health.get("command")),
    ):
        text = " ".join(word for word in as_list(words) if isinstance(word, str))
        if text:
            yield (*at, *path), text[:LONGEST_COMMAND]
