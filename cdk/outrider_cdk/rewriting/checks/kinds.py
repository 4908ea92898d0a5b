"""Fields of the wrong JSON type, among those that the rewriter reads: ECS will not take them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.checks.containers import FIELD
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.problems import Path, Problem, error, warning
from outrider_cdk.rewriting.shapes import as_number, is_absent, is_intrinsic

TEXTS: Final = ("family", "networkMode", "taskRoleArn", "executionRoleArn", "image", "user", "workingDirectory")
LISTS: Final = (
    *("requiresCompatibilities", "entryPoint", "command", "environment", "secrets", "mountPoints", "volumesFrom"),
    *("portMappings", "ulimits"),
)
OBJECTS: Final = ("runtimePlatform", "linuxParameters", "logConfiguration", "healthCheck", "dockerLabels")
NUMBERS: Final = ("memoryReservation", "stopTimeout", "startTimeout")

_KINDS: Final[Mapping[str, tuple[type, str]]] = {
    **dict.fromkeys(TEXTS, (str, "text")),
    **dict.fromkeys(LISTS, (list, "a list")),
    **dict.fromkeys(OBJECTS, (dict, "an object")),
}


def check_kinds(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Refuse what could not be added to; warn of the rest."""
    if not isinstance(task.get("volumes"), list) and not is_absent(task.get("volumes")):
        says = "This is no list of volumes, and the journal's is to be added to it."
        yield error(("volumes",), "wrong-type", says, "Write a list, or leave volumes out.")
    yield from _judge((), task)
    for index, container in others_of(task):
        waits = container.get("dependsOn")
        if options.depends_on and not isinstance(waits, list) and not is_absent(waits):
            says = "This is no list, and the sidecar is to be added to it (depends_on)."
            yield error((FIELD, index, "dependsOn"), "wrong-type", says, "Write a list, or leave dependsOn out.")
        if is_absent(container.get("image")):
            yield warning((FIELD, index), "no-image", "The container has no image.", "Name one.")
        yield from _judge((FIELD, index), container)


def _judge(at: Path, fields: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in fields.items():
        if is_absent(value) or is_intrinsic(value):
            continue
        kind, called = _KINDS.get(key, (object, ""))
        if not isinstance(value, kind):
            yield warning((*at, key), "wrong-type", f"ECS wants {called} here.", "Look at the ECS API reference.")
        elif key in NUMBERS and as_number(value) is None:
            yield warning((*at, key), "wrong-type", "ECS wants a whole number here.", "Look at the ECS API reference.")
