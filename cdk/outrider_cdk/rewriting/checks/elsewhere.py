"""What the definition does not say and the service decides: the platform version, and ECS Exec."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.problems import Path, Problem, error, note, warning
from outrider_cdk.rewriting.shapes import as_text, is_absent, is_intrinsic

FIRST_PLATFORM: Final = (1, 4, 0)
"""The first Fargate platform version that knows pidMode."""

EXTERNAL: Final = "A sidecar on machines outside of AWS (ECS Anywhere) has not been tried."

_EXEC: Final = (
    "With pidMode task ECS Exec has one session for the whole task, and ECS chooses the container it is in "
    "(containers-roadmap issue 2268)."
)


def check_exec(_task: Mapping[str, Any], _options: GuardOptions) -> Iterator[Problem]:
    """Said of every definition: whether ECS Exec is used stands in the service."""
    remedy = "Where you use ECS Exec, try it once; it may land in the sidecar, which has a Python and no tools."
    yield note((), "ecs-exec", _EXEC, remedy)


def check_service(service: Mapping[str, Any], *, path: Path = ()) -> Iterator[Problem]:
    """Judge a service that is to run a guarded definition: what CreateService takes, or DescribeServices returns."""
    given = service.get("platformVersion")
    version = as_text(given)
    parts = version.split(".")
    if all(part.isdecimal() and len(part) < 6 for part in parts) and tuple(map(int, parts)) < FIRST_PLATFORM:
        says = f"Fargate's platform version {version} does not know pidMode."
        yield error((*path, "platformVersion"), "platform-version", says, "Write LATEST or 1.4.0.")
    elif is_intrinsic(given) and not is_absent(given):
        says = "Fargate's platform version is known at deployment only, and none before 1.4.0 knows pidMode."
        yield warning((*path, "platformVersion"), "platform-version", says, "Write LATEST or 1.4.0.")
    if service.get("launchType") == "EXTERNAL":
        yield warning((*path, "launchType"), "external", EXTERNAL, "Look at `outrider doctor` in the sidecar.")
    wanted = service.get("enableExecuteCommand")
    if wanted is True or as_text(wanted).lower() == "true" or (is_intrinsic(wanted) and not is_absent(wanted)):
        remedy = "Debug with the service's guard taken out, or try whether the session lands where you need it."
        yield warning((*path, "enableExecuteCommand"), "ecs-exec", _EXEC, remedy)
