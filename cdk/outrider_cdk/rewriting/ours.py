"""How the rewriter knows its own work again: two labels on the sidecar's container.

`outrider.version` says that a container is ours and who made it. `outrider.undo` remembers, as JSON, what stood in each
place that was changed outside of that container, so that taking it out gives back exactly what was there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from outrider_cdk.rewriting.options import Text
from outrider_cdk.rewriting.shapes import as_object, as_text, containers_of

VERSION_LABEL: Final = "outrider.version"
UNDO_LABEL: Final = "outrider.undo"

Before = tuple[Any, ...]
"""What a field held: empty where it was not there, else the one value."""

APPENDED: Final = "appended"
FIELDS: Final = ("pidMode", "executionRoleArn", "volumes")
"""The fields of a definition, besides its containers, that guarding may change."""


@dataclass(frozen=True)
class Undo:
    """What taking the sidecar out has to put back.

    `fields` are those of the definition; `depends` are the other containers, by name, that were made to wait for the
    sidecar: what their `dependsOn` was, or that one element was appended to it. `volume` is the journal's, `role` the
    execution role that was put in.
    """

    volume: str = ""
    role: Text = ""
    fields: Mapping[str, Before] = field(default_factory=dict)
    depends: Mapping[str, Before | Literal["appended"]] = field(default_factory=dict)

    def with_field(self, name: str, before: Before) -> "Undo":
        """The same, with one more field; what is remembered already stays, for it is older."""
        return replace(self, fields={name: before, **self.fields})

    def with_depends(self, name: str, before: Before | Literal["appended"]) -> "Undo":
        """The same, with one more container that waits."""
        return replace(self, depends={name: before, **self.depends})

    def to_label(self) -> str:
        """Compact JSON, the same for the same record."""
        record: dict[str, Any] = {"volume": self.volume}
        if self.role:
            record["role"] = self.role
        if self.fields:
            record["fields"] = {name: list(before) for name, before in sorted(self.fields.items())}
        if self.depends:
            record["depends"] = {
                name: before if isinstance(before, str) else list(before)
                for name, before in sorted(self.depends.items())
            }
        return json.dumps(record, separators=(",", ":"))


def read_undo(label: Any) -> Undo:
    """The record that a label holds. Raises ValueError for anything else: a label can be edited."""
    try:
        record = json.loads(label)
    except (TypeError, RecursionError) as error:
        raise ValueError("not JSON") from error
    if not isinstance(record, dict) or not isinstance(record.get("volume"), str):
        raise ValueError("not a record of what was changed")
    fields, depends, role = record.get("fields", {}), record.get("depends", {}), record.get("role", "")
    if not isinstance(fields, dict) or not isinstance(depends, dict):
        raise ValueError("not a record of what was changed")
    if not set(fields) <= set(FIELDS) or not isinstance(role, str | dict):
        raise ValueError("not a record of what was changed")
    return Undo(
        volume=record["volume"],
        role=role,
        fields={name: _read_before(before) for name, before in fields.items()},
        depends={name: APPENDED if before == APPENDED else _read_before(before) for name, before in depends.items()},
    )


def _read_before(value: Any) -> Before:
    if not isinstance(value, list) or len(value) > 1:
        raise ValueError("neither what was there nor that there was nothing")
    return tuple(value)


def version_of(container: Any) -> str:
    """The version of the rewriter that made this container; empty where it is not ours."""
    return as_text(as_object(as_object(container).get("dockerLabels")).get(VERSION_LABEL))


def undo_of(container: Mapping[str, Any]) -> Undo:
    """What the sidecar remembers. Raises ValueError where its label is gone or edited."""
    return read_undo(as_object(container.get("dockerLabels")).get(UNDO_LABEL))


def find_sidecar(task: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]] | None:
    """The first container that the rewriter made, and its place."""
    return next(((index, container) for index, container in containers_of(task) if version_of(container)), None)


def others_of(task: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """The containers to be guarded, each with its place: all but the sidecar."""
    ours = find_sidecar(task)
    return [(index, container) for index, container in containers_of(task) if ours is None or index != ours[0]]
