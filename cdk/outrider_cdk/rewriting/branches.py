"""Containers behind `Fn::If`: the definition as it will be, for each way in which its conditions may fall.

The checks read each of these as if it were written so. What they say is led back to where it stands in the document.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from outrider_cdk.rewriting.problems import Path

IF: Final = "Fn::If"
CONTAINERS: Final = "containerDefinitions"
CONDITIONS: Final = 5
"""Most conditions that are told apart, for each doubles what is read; what further ones decide stays unknown."""


@dataclass(frozen=True)
class Variant:
    """A definition for one outcome of its conditions. `as_written` is the one that was given."""

    task: Mapping[str, Any]
    as_written: Mapping[str, Any]
    chosen: Mapping[str, bool]

    def place_of(self, path: Path) -> Path:
        """A path in this definition as a path in the one that was given."""
        if not self.chosen:
            return path
        made: list[str | int] = []
        value: Any = self.as_written
        for part in (*path, None):
            while branch := _branch_of(value, self.chosen):
                made += [IF, branch]
                value = value[IF][branch]
            if part is None:
                break
            made.append(part)
            value = _within(value, part)
        return tuple(made)


def variants_of(task: Mapping[str, Any]) -> list[Variant]:
    """The definition in every way in which the conditions of its containers may fall; itself where there are none."""
    containers = task.get(CONTAINERS)
    names = _conditions(containers)
    made = []
    for outcome in product((True, False), repeat=len(names)):
        chosen = dict(zip(names, outcome, strict=True))
        variant = {**task, CONTAINERS: _choose(containers, chosen)} if names else task
        made.append(Variant(variant, task, chosen))
    return made


def leaves_of(value: Any) -> Iterator[tuple[Path, Any]]:
    """What a value may be, and where that stands: itself, or the branches of its `Fn::If`. Any: it may be anything."""
    arguments = _arguments(value)
    if arguments is None:
        yield (), value
        return
    for branch in (1, 2):
        for path, leaf in leaves_of(arguments[branch]):
            yield (IF, branch, *path), leaf


def _conditions(value: Any) -> list[str]:
    """The first names of conditions within, those furthest out before those within them."""
    found: dict[str, None] = {}
    level = [value]
    while level:
        below: list[Any] = []
        for each in level:
            if (arguments := _arguments(each)) is not None and isinstance(arguments[0], str):
                found[arguments[0]] = None
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        level = below
    return list(found)[:CONDITIONS]


def _choose(value: Any, chosen: Mapping[str, bool]) -> Any:
    if branch := _branch_of(value, chosen):
        return _choose(value[IF][branch], chosen)
    if isinstance(value, dict):
        return {key: _choose(entry, chosen) for key, entry in value.items()}
    return [_choose(entry, chosen) for entry in value] if isinstance(value, list) else value


def _branch_of(value: Any, chosen: Mapping[str, bool]) -> int:
    """Which argument of an `Fn::If` is taken; 0 where the value is none, or its condition is not told apart."""
    arguments = _arguments(value)
    if arguments is None or not isinstance(arguments[0], str) or arguments[0] not in chosen:
        return 0
    return 1 if chosen[arguments[0]] else 2


def _arguments(value: Any) -> list[Any] | None:
    """Condition, then and else; None for what is no `Fn::If` that CloudFormation would take."""
    arguments = value.get(IF) if isinstance(value, dict) and len(value) == 1 else None
    return arguments if isinstance(arguments, list) and len(arguments) == 3 else None


def _within(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None
