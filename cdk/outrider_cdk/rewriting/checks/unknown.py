"""Fields that CloudFormation fills in at deployment, where the other checks could not look: said, never passed over."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.checks.containers import FIELD
from outrider_cdk.rewriting.checks.images import is_certain, is_own
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.platforms import platform_of
from outrider_cdk.rewriting.problems import Path, Problem, note, warning
from outrider_cdk.rewriting.shapes import NO_VALUE, as_list, as_object, is_intrinsic

_PRIVILEGES: Final = (
    ("privileged",),
    ("linuxParameters",),
    ("linuxParameters", "capabilities"),
    ("linuxParameters", "capabilities", "add"),
)
"""Where SYS_PTRACE may hide."""
_COMMANDS: Final = (("entryPoint",), ("command",), ("healthCheck",), ("healthCheck", "command"))
_MOUNTS: Final = (("mountPoints",), ("volumesFrom",))
_WRITE: Final = "Write it out, to have it looked at."


def check_unknown(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """What of the task and of each container is not known yet."""
    yield from _of_task(task, options)
    for index, container in others_of(task):
        at: Path = (FIELD, index)
        for path in _privileges(container):
            says = "Whether the container may read the sidecar's key is known at deployment only; it was not looked at."
            yield warning((*at, *path), "privileges-unknown", says, _WRITE)
        for path in _unknown(container, _COMMANDS):
            says = (
                "What the container runs is known at deployment only: whether it must be PID 1, signals everybody or "
                "traces was not looked at."
            )
            yield warning((*at, *path), "command-unknown", says, _WRITE)
        yield from _of_image(container, (*at, "image"))
        for path in _unknown(container, _MOUNTS):
            says = "Whether the container has the journal's volume is known at deployment only; it was not looked at."
            yield warning((*at, *path), "mounts-unknown", says, _WRITE)


def _of_image(container: Mapping[str, Any], at: Path) -> Iterator[Problem]:
    """An image whose name is not known, but for its literal parts, which the other checks have read."""
    if not _is_unknown(container.get("image")) or is_certain(container):
        return
    says = (
        "Which image this is is known at deployment only. Its literal parts were read; whether the whole must be PID "
        "1, signals everybody or is another agent was not."
    )
    told = note if is_own(container) else warning
    yield told(at, "image-unknown", says, "Write its name out, or look it up in docs/deploy.md (pid-1).")


def _of_task(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    platform = task.get("runtimePlatform")
    for path in _unknown(task, (("runtimePlatform",), ("runtimePlatform", "operatingSystemFamily"))):
        says = "The operating system is known at deployment only; the sidecar is for Linux, and on Windows nothing is."
        if is_intrinsic(platform) and options.image != options.image_arm64:
            says = "System and processor are known at deployment only; the sidecar is for Linux, its image for x86-64."
        yield warning(path, "system-unknown", says, "Write runtimePlatform out, or leave this task out.")
    if options.platform == "auto" and _is_unknown(task.get("requiresCompatibilities")):
        says = f"Where the task runs is known at deployment only; it was taken for {platform_of(task, options)}."
        yield warning(("requiresCompatibilities",), "platform-unknown", says, "Say where it runs (platform).")
    for field in ("cpu", "memory"):
        if _is_unknown(task.get(field)):
            says = f"The task's {field} is known at deployment only; whether the sidecar fits was not looked at."
            yield note((field,), "size-unknown", says, "Look at what `too-small` says in docs/deploy.md.")
    for field in task:
        if isinstance(field, str) and field.lower().startswith("fn::"):
            says = "This brings in fields at deployment, which were not looked at."
            yield warning((field,), "fields-unknown", says, "Write them out, to have them looked at.")


def _privileges(container: Mapping[str, Any]) -> Iterator[Path]:
    yield from _unknown(container, _PRIVILEGES)
    added = _at(container, _PRIVILEGES[-1])
    for place, name in enumerate(as_list(added)):
        if _is_unknown(name):
            yield (*_PRIVILEGES[-1], place)


def _unknown(fields: Mapping[str, Any], paths: tuple[tuple[str, ...], ...]) -> Iterator[Path]:
    return (path for path in paths if _is_unknown(_at(fields, path)))


def _at(fields: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        fields = as_object(fields).get(part)
    return fields


def _is_unknown(value: Any) -> bool:
    return is_intrinsic(value) and value != NO_VALUE
