"""A document as a tree of nodes, each with the span of text it was written in.

JSON and YAML give the same tree. `start` and `end` count characters; text[start:end] is the whole of a node, with its
tag and anchor, and without white space or comments around it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from outrider_cdk.editing.errors import Uneditable, Unreadable, line_of
from outrider_cdk.rewriting.problems import Path

MAX_DEPTH: Final = 100
"""Deepest nesting that is read; a task definition has a dozen."""
MAX_NODES: Final = 1_000_000
"""Most values in a document, each alias counted as all that it stands for."""

SHORT_TAGS: Final = {"!Ref": "Ref", "!Condition": "Condition"}
"""CloudFormation's short forms that do not become `Fn::…`."""


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
Plain: TypeAlias = Any
"""Any: what JSON can say, as dicts, lists and plain values."""


def to_plain(root: Node, text: str) -> Plain:
    """What a document says. CloudFormation's short tags become their long forms; nothing is constructed.

    Raises Unreadable for a key that is there twice or is no text or number, and for more than MAX_NODES values.
    """
    return _Reading(text).value_of(root)


class _Reading:
    def __init__(self, text: str) -> None:
        self._text = text
        self._left = MAX_NODES

    def value_of(self, node: Node) -> Plain:
        self._left -= 1
        if self._left < 0:
            raise Unreadable(f"has more than {MAX_NODES} values", remedy="split it")
        match node:
            case Alias():
                return self.value_of(node.target)
            case Scalar():
                value: Plain = node.value
            case Sequence():
                value = [self.value_of(item) for item in node.items]
            case Mapping():
                value = self._mapping(node)
        return long_form(node.tag, value) if node.tag else value

    def _mapping(self, node: Mapping) -> dict[str, Plain]:
        own: dict[Any, Plain] = {}
        merged: dict[Any, Plain] = {}
        for entry in node.entries:
            key = self._key(entry.key)
            if is_merge(entry.key):
                merged = {**self._merged(entry.value), **merged}
            elif key in own:
                line = line_of(self._text, entry.key.start)
                raise Unreadable(f"the key {key!r} is there twice", remedy="remove one of them", line=line)
            else:
                own[key] = self.value_of(entry.value)
        return {**merged, **own} if merged else own

    def _key(self, node: Node) -> str | int | float | bool | None:
        node = resolved(node)
        if not isinstance(node, Scalar):
            raise Unreadable("a key is no plain text", line=line_of(self._text, node.start))
        return node.value

    def _merged(self, node: Node) -> dict[str, Plain]:
        value = self.value_of(node)
        found: dict[str, Plain] = {}
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, dict):
                raise Unreadable("`<<` merges what is no mapping", line=line_of(self._text, node.start))
            found = {**each, **found}
        return found


def long_form(tag: str, value: Plain) -> Plain:
    """A short tag as CloudFormation writes it out: `!Sub x` is {"Fn::Sub": x}."""
    if tag == "!GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {SHORT_TAGS.get(tag, "Fn::" + tag.lstrip("!")): value}


def is_merge(key: Node) -> bool:
    """Whether a key is YAML's `<<`, which takes another mapping's keys in."""
    return isinstance(key, Scalar) and key.tag == "" and key.value == "<<" and key.end - key.start == 2


def resolved(node: Node) -> Node:
    """The node itself, or the one that an alias stands for."""
    return node.target if isinstance(node, Alias) else node


def find(root: Node, path: Path, text: str, aliases: dict[int, Alias], *, whole: bool = False) -> Node:
    """The node at a path, through no alias, tag or merge, and that nothing else stands for: `aliases_of` tells.

    With `whole` the last one may be an alias, or have a tag.

    Raises Uneditable, in words for the one who wrote the text, where it is not there or not written out.
    """
    node = root
    for depth, step in enumerate(path):
        found = _step(node, step)
        if found is None:
            says = "is not written there itself: it comes from `<<`, or is not there"
            remedy = "write it out at this place"
            raise Uneditable(path[: depth + 1], says, remedy=remedy, line=line_of(text, node.start))
        last = whole and depth == len(path) - 1
        if (isinstance(found, Alias) or found.tag) and not last:
            raise Uneditable(
                path[: depth + 1],
                f"stands for something else (`{text[found.start : found.end].split(None, 1)[0]}`)",
                remedy="write it out at this place",
                line=line_of(text, found.start),
            )
        if id(found) in aliases:
            name, line = aliases[id(found)].name, line_of(text, aliases[id(found)].start)
            says = f"is taken over elsewhere by `*{name}` in line {line}, which would change with it"
            raise Uneditable(path[: depth + 1], says, remedy=f"write out what `*{name}` stands for")
        node = found
    return node


def aliases_of(root: Node) -> dict[int, Alias]:
    """Every node that an alias stands for, by its identity, with one of its aliases."""
    found: dict[int, Alias] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Alias):
            found[id(node.target)] = node
        waiting += children(node)
    return found


def _step(node: Node, step: str | int) -> Node | None:
    match node:
        case Mapping():
            return next((each.value for each in node.entries if key_is(each, step)), None)
        case Sequence() if isinstance(step, int) and 0 <= step < len(node.items):
            return node.items[step]
    return None


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
