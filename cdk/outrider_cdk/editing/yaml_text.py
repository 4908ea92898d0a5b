"""Reads YAML into nodes, with the place of each, from PyYAML's events: nothing is ever constructed.

Events, not PyYAML's own nodes, because those lose where an alias stands. A block collection's own marks go on to the
next token, past blank lines and comments, so its end here is that of its last value.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final

import yaml

from outrider_cdk.editing.errors import Unreadable, line_of
from outrider_cdk.editing.nodes import MAX_DEPTH, Alias, Entry, Mapping, Node, Scalar, Sequence
from outrider_cdk.editing.scalars import kind_of, own_tag, plain_scalar

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML was built with it: the same marks, ten times as fast."""


def read_yaml(text: str) -> Node:
    """The tree of the one document in a text. Raises Unreadable."""
    try:
        events = yaml.parse(text, Loader=LOADER)
        root = _Composer(text, events).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        says = f"is no YAML: {error.problem or error.context}"
        raise Unreadable(says, line=mark.line + 1 if mark else 0) from error
    except yaml.YAMLError as error:
        raise Unreadable(f"is no YAML: {str(error).splitlines()[0]}") from error
    except (RecursionError, UnicodeEncodeError) as error:
        raise Unreadable(f"is no YAML that can be read: {error}") from error
    return root


class _Composer:
    """Builds the tree; `_next` is the only place that takes events."""

    def __init__(self, text: str, events: Iterator[Any]) -> None:
        self._text = text
        self._events = events
        self._anchors: dict[str, Node] = {}
        self._dashes: list[int] | None = None

    def document(self) -> Node:
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise Unreadable("is empty")
        root = self._node(self._next(), 0)
        self._next()
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            line = event.start_mark.line + 1
            raise Unreadable("holds several documents", remedy="give one document at a time", line=line)
        return root

    def _next(self) -> Any:
        """Any: PyYAML's events have no types."""
        return next(self._events)

    def _node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise Unreadable(f"is nested more than {MAX_DEPTH} deep", line=event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if isinstance(event, yaml.ScalarEvent):
            node: Node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> Alias:
        target = self._anchors.get(event.anchor)
        start = event.start_mark.index
        if target is None:
            says = f"`*{event.anchor}` stands for nothing before it"
            raise Unreadable(says, line=line_of(self._text, start))
        return Alias(start, event.end_mark.index, target, event.anchor)

    def _scalar(self, event: Any) -> Scalar:
        start, end = event.start_mark.index, event.end_mark.index
        block = ""
        if event.style in ("|", ">"):
            header = self._text[start:end].split("\n", 1)[0].partition("#")[0]
            block = header[header.rindex(event.style) :].strip() if event.style in header else event.style
            end = _end_of_block(self._text, end, keeps="+" in block)
        tag = own_tag(event.tag)
        return Scalar(start, end, event.value if tag else self._plain(event), tag, block)

    def _plain(self, event: Any) -> str | int | float | bool | None:
        kind = event.tag
        if not kind or kind == "!":
            kind = kind_of(event.value, event.implicit)
        return plain_scalar(kind, event.value, event.start_mark.line + 1)

    def _sequence(self, event: Any, depth: int) -> Sequence:
        items: list[Node] = []
        while not _ends(found := self._next()):
            items.append(self._node(found, depth + 1))
        start, opens, tag = event.start_mark.index, event.end_mark.index, own_tag(event.tag)
        if event.flow_style:
            return Sequence(start, found.end_mark.index, opens, tuple(items), tag=tag)
        dashes = tuple(self._dash_of(item.start) for item in items)
        return Sequence(start, items[-1].end, opens, tuple(items), False, tag, dashes)

    def _mapping(self, event: Any, depth: int) -> Mapping:
        entries: list[Entry] = []
        while not _ends(found := self._next()):
            key = self._node(found, depth + 1)
            entries.append(Entry(key, self._node(self._next(), depth + 1)))
        start, opens, tag = event.start_mark.index, event.end_mark.index, own_tag(event.tag)
        if event.flow_style:
            return Mapping(start, found.end_mark.index, opens, tuple(entries), tag=tag)
        end = max(entries[-1].key.end, entries[-1].value.end)
        return Mapping(start, end, opens, tuple(entries), False, tag)

    def _dash_of(self, start: int) -> int:
        """Where the dash before an item stands. Events do not tell, tokens do."""
        if self._dashes is None:
            tokens = yaml.scan(self._text, Loader=LOADER)
            self._dashes = [each.start_mark.index for each in tokens if isinstance(each, yaml.BlockEntryToken)]
        return self._dashes[bisect_left(self._dashes, start) - 1]


def _ends(event: Any) -> bool:
    """Whether a list or mapping ends with this event."""
    return isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent)


def _end_of_block(text: str, end: int, *, keeps: bool) -> int:
    """Where a block of text ends, without its last line end; blank lines behind it are its own only with `+`."""
    body = text[:end].rstrip(" ")
    if keeps:
        return len(body) - len("\r\n") if body.endswith("\r\n") else len(body) - body.endswith("\n")
    return len(body.rstrip(" \r\n"))
