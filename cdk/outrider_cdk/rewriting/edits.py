"""Changes to a JSON value, as data: what the rewriter decides, and what is applied to values or spliced into text.

Paths are keys and indices from the root. Edits are applied in order, each to what the one before left.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from outrider_cdk.rewriting.problems import Path


@dataclass(frozen=True, slots=True)
class Insert:
    """A key that was not there, at the end of its object."""

    path: Path
    value: Any


@dataclass(frozen=True, slots=True)
class Append:
    """One more element at the end of the list at `path`."""

    path: Path
    value: Any


@dataclass(frozen=True, slots=True)
class Replace:
    """Another value for what is at `path`, in the same place."""

    path: Path
    value: Any


@dataclass(frozen=True, slots=True)
class Delete:
    """What is at `path` goes, key and all; elements behind it move up."""

    path: Path


Edit = Insert | Append | Replace | Delete


def apply(definition: Any, edits: Iterable[Edit]) -> Any:
    """The value with the edits made; the argument is left as it is, and what no edit touches is shared with it.

    Raises KeyError, IndexError or TypeError for an edit that does not fit the value.
    """
    for edit in edits:
        definition = _changed(definition, edit.path, _change_of(edit))
    return definition


def value_at(definition: Any, path: Path) -> Any:
    """What is at a path. Raises KeyError, IndexError or TypeError where there is nothing."""
    for part in path:
        definition = definition[part]
    return definition


_ABSENT: Any = object()
"""Stands for a key that is not there, before or after a change."""


def _change_of(edit: Edit) -> Callable[[Any], Any]:
    """What an edit does with the value at its path."""
    match edit:
        case Insert(path, value):
            return lambda old: value if old is _ABSENT else _refuse(path)
        case Append(_, value):
            return lambda old: [*old, value]
        case Replace(path, value):
            return lambda old: _refuse(path) if old is _ABSENT else value
        case Delete(path):
            return lambda old: _refuse(path) if old is _ABSENT else _ABSENT


def _changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """A copy of the containers along the path, with the change made at its end."""
    if not path:
        return change(value)
    key, rest = path[0], path[1:]
    copy = value.copy()
    old = copy.get(key, _ABSENT) if isinstance(copy, dict) else copy[key]
    new = change(old) if not rest else _changed(old, rest, change)
    if new is _ABSENT:
        del copy[key]
    else:
        copy[key] = new
    return copy


def _refuse(path: Path) -> Any:
    raise KeyError(path)
