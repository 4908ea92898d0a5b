"""A document as a tree of nodes, each with the span of text it was written in.

JSON and YAML give the same tree. `start` and `end` count characters; text[start:end] is the whole of a node, with its
tag and anchor, and without white space or comments around it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_DEPTH: Final = 100
"""Deepest nesting that is read; a task definition has a dozen."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value that has no parts; `block` is set for YAML's texts of many lines (`|`, `>`), their header included."""

    start: int
    end: int
    value: str | int | float | bool | None
    tag: str = ""
    block: str = ""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list; `flow` is in brackets, open from `opens` on, else each item is behind a dash, which stand at `dashes`."""

    start: int
    end: int
    opens: int
    items: tuple["Node", ...]
    flow: bool = True
    tag: str = ""
    dashes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping with its value."""

    key: "Node"
    value: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping; `flow` is in braces, open from `opens` on."""

    start: int
    end: int
    opens: int
    entries: tuple[Entry, ...]
    flow: bool = True
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Alias:
    """YAML's `*name`: another place's node, standing here as well."""

    start: int
    end: int
    target: "Node"
    name: str = ""


Node: TypeAlias = Scalar | Sequence | Mapping | Alias


def resolved(node: Node) -> Node:
    """The node itself, or the one that an alias stands for."""
    return node.target if isinstance(node, Alias) else node


def key_is(entry: Entry, name: str | int) -> bool:
    """Whether an entry is the one with this key."""
    key = resolved(entry.key)
    return isinstance(key, Scalar) and key.value == name and type(key.value) is type(name)


def children(node: Node) -> Iterator[Node]:
    """The nodes right within one, keys included; an alias has none."""
    match node:
        case Sequence():
            yield from node.items
        case Mapping():
            for entry in node.entries:
                yield entry.key
                yield entry.value
