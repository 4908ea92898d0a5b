"""Between the API's names (`containerDefinitions`) and CloudFormation's (`ContainerDefinitions`).

Almost every name differs in its first letter only. The keys of free-form maps (labels, options of a log driver) are
somebody's own and stay. Intrinsic functions stay as they are, wherever they stand; but the branches of `Fn::If` are
parts of the definition as well.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.branches import IF
from outrider_cdk.rewriting.edits import Append, Delete, Edit, Insert, Replace
from outrider_cdk.rewriting.problems import Path
from outrider_cdk.rewriting.shapes import is_intrinsic
from outrider_cdk.rewriting.wrapping import DEPTH

_FREE_FORM: Final = ("dockerLabels", "options", "driverOpts", "labels")
"""Fields whose value is a map with keys of its own (API names)."""

_ODD: Final = (
    ("efsVolumeConfiguration", "EFSVolumeConfiguration"),
    ("fsxWindowsFileServerVolumeConfiguration", "FSxWindowsFileServerVolumeConfiguration"),
    ("s3filesVolumeConfiguration", "S3FilesVolumeConfiguration"),
    ("fileSystemId", "FilesystemId"),
    ("iam", "IAM"),
)
"""Names that differ in more than the first letter (AWS::ECS::TaskDefinition in CloudFormation's reference). One more,
the `properties` of a proxy configuration, is nothing that the rewriter reads or writes."""
_TO_TEMPLATE: Final = dict(_ODD)
_TO_API: Final = {template: api for api, template in _ODD}


def api_name(name: str) -> str:
    """The API's name of a property: `PidMode` is `pidMode`."""
    return _TO_API.get(name) or name[:1].lower() + name[1:]


def template_name(name: str) -> str:
    """CloudFormation's name of a field: `pidMode` is `PidMode`."""
    return _TO_TEMPLATE.get(name) or name[:1].upper() + name[1:]


def to_api(properties: Any) -> Any:
    """The properties of an AWS::ECS::TaskDefinition with the API's names."""
    return _renamed(properties, api_name)


def to_template(definition: Any) -> Any:
    """A definition, or a part of one, with CloudFormation's names."""
    return _renamed(definition, template_name)


def edits_to_template(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """The same edits for the properties of an AWS::ECS::TaskDefinition.

    None of the rewriter's edits reaches into a free-form map, so every key on their paths has another name there.
    """
    return tuple(_edit_to_template(edit) for edit in edits)


def path_to_template(path: Path) -> Path:
    """A path with CloudFormation's names; what lies within a free-form map keeps its own."""
    made: list[str | int] = []
    free = False
    for part in path:
        made.append(part if free or isinstance(part, int) else template_name(part))
        free = free or part in _FREE_FORM
    return tuple(made)


def _edit_to_template(edit: Edit) -> Edit:
    match edit:
        case Insert(path, value):
            return Insert(path_to_template(path), to_template(value))
        case Append(path, value):
            return Append(path_to_template(path), to_template(value))
        case Replace(path, value):
            return Replace(path_to_template(path), to_template(value))
        case Delete(path):
            return Delete(path_to_template(path))


def _renamed(value: Any, rename: Callable[[str], str], level: int = 0) -> Any:
    """The value with every key renamed, down to free-form maps, intrinsic functions and the deepest level that is read.

    Two keys may come to the same name (`Name` beside `name`): the one that is spelt as the side it comes from spells it
    wins, for the other means nothing there.
    """
    if level > DEPTH:
        return value
    if isinstance(value, list):
        return [_renamed(entry, rename, level + 1) for entry in value]
    if not isinstance(value, dict):
        return value
    if is_intrinsic(value):
        branches = _renamed(value.get(IF), rename, level + 1)
        return (
            value if branches == value.get(IF) else {IF: branches}
        )  # the same object, by which CDK's tokens are known
    made: dict[str, Any] = {}
    for key, entry in value.items():
        name = rename(key) if isinstance(key, str) else key
        if name != key or name not in made:
            free = isinstance(key, str) and api_name(key) in _FREE_FORM and isinstance(entry, Mapping)
            made[name] = entry if free else _renamed(entry, rename, level + 1)
    return made
