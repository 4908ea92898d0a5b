"""Edits within brackets and braces, JSON's and YAML's alike.

A new member follows the last one in the same manner: on a line of its own where that one is, else behind it. What is
added comes directly behind a line end or a comma, so that taking it away again is exact.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from outrider_cdk.editing.nodes import Entry, Mapping, Node, Sequence
from outrider_cdk.editing.splice import Splice, end_of_line, indentation, line_break_before
from outrider_cdk.editing.written_json import Manner, on_lines, on_one_line, scalar
from outrider_cdk.editing.written_yaml import respelled

_COMMENT: Final = re.compile(r"(?:(?<=\s)|^)#[^\n]*")


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int


def _spans(container: Mapping | Sequence) -> list[_Span]:
    if isinstance(container, Sequence):
        return [_Span(item.start, item.end) for item in container.items]
    return [_Span(entry.key.start, max(entry.key.end, entry.value.end)) for entry in container.entries]


def add(text: str, container: Mapping | Sequence, key: str | None, value: Any, manner: Manner) -> list[Splice]:
    """One more member at the end; `key` is None for a list."""
    manner = _manner_of(text, container, manner)
    spans = _spans(container)
    if not spans:
        return [_add_first(text, container, key, value, manner)]
    last = spans[-1]
    before = spans[-2].end if len(spans) > 1 else container.opens
    gap = text[before : last.start]
    if "\n" in gap:
        return _add_line(text, container, last, gap, _written(key, value, manner, gap.rpartition("\n")[2]), manner)
    indent = indentation(text, last.end) if "\n" in text[last.start : last.end] else None
    new = _written(key, value, manner, indent)
    comma = _comma(text, last.end, container.end - 1)
    space = gap.partition(",")[2] if "," in gap and not gap.partition(",")[2].strip() else manner.comma[1:]
    if comma is None:
        return [Splice(last.end, last.end, "," + space + new)]
    return [Splice(comma + 1, comma + 1, space + new + ",")]


def _add_first(text: str, container: Mapping | Sequence, key: str | None, value: Any, manner: Manner) -> Splice:
    if "\n" not in text[container.opens : container.end]:
        return Splice(container.opens, container.opens, _written(key, value, manner, None))
    indent = indentation(text, container.opens) + manner.unit
    at = end_of_line(text, container.opens)
    return Splice(at, at, manner.newline + indent + _written(key, value, manner, indent))


def _add_line(
    text: str, container: Mapping | Sequence, last: _Span, gap: str, new: str, manner: Manner
) -> list[Splice]:
    lead = manner.newline + gap.rpartition("\n")[2]
    close = container.end - 1
    comma = _comma(text, last.end, close)
    at = _line_end_before(text, last.end if comma is None else comma + 1, close)
    if comma is not None:
        return [Splice(at, at, lead + new + ",")]
    if "," in lead:
        return [Splice(at, at, lead + new)]
    if at == last.end:
        return [Splice(at, at, "," + lead + new)]
    return [Splice(last.end, last.end, ","), Splice(at, at, lead + new)]


def _line_end_before(text: str, at: int, close: int) -> int:
    """The end of the line, behind its comment; the place itself where the bracket closes in the same line."""
    end = end_of_line(text, at)
    return end if end < close else at


def remove(text: str, container: Mapping | Sequence, index: int) -> list[Splice]:
    """One member less, and one comma less."""
    spans = _spans(container)
    this = spans[index]
    before = spans[index - 1].end if index else container.opens
    after = spans[index + 1].start if index + 1 < len(spans) else container.end - 1
    comma = _comma(text, before, this.start) if index else None
    own_comma = _comma(text, this.end, after)
    end = this.end if own_comma is None else own_comma + 1
    cut = line_break_before(text, this.start) if "\n" in text[before : this.start] else None
    if comma is not None and cut is not None and comma > cut:
        return [Splice(cut, this.end, "")]
    if own_comma is None and comma is not None:
        if cut is None:
            return [Splice(comma, end, "")]
        return [Splice(comma, comma + 1, ""), Splice(cut, end, "")]
    if cut is None:
        cut = this.start if comma is None else comma + 1
        end = after if comma is None and len(spans) > 1 else end
    return [Splice(cut, end, "")]


def replace(text: str, node: Node, value: Any, manner: Manner) -> Splice:
    """Another value in the place of one."""
    if manner.yaml and not isinstance(value, dict | list):
        return Splice(node.start, node.end, respelled(text[node.start : node.end], value))
    lines = "\n" in text[node.start : node.end] and isinstance(value, dict | list)
    new = on_lines(value, manner, indentation(text, node.start)) if lines else on_one_line(value, manner)
    return Splice(node.start, node.end, new)


def _written(key: str | None, value: Any, manner: Manner, indent: str | None) -> str:
    indent = None if indent is None else indent.partition(",")[0]
    written = on_one_line(value, manner) if indent is None else on_lines(value, manner, indent)
    return written if key is None else scalar(key, manner) + manner.colon + written


def _comma(text: str, start: int, end: int) -> int | None:
    """Where the comma between two places is, if there is one: not one of a comment."""
    hidden = _COMMENT.sub(lambda match: " " * len(match[0]), text[start:end])
    found = hidden.find(",")
    return None if found < 0 else start + found


def _manner_of(text: str, container: Mapping | Sequence, manner: Manner) -> Manner:
    """The manner of this container, by its last member: what is around the colon."""
    if not isinstance(container, Mapping) or not container.entries:
        return manner
    return Manner(manner.newline, manner.unit, _colon(text, container.entries[-1], manner), manner.comma, manner.yaml)


def _colon(text: str, entry: Entry, manner: Manner) -> str:
    between = text[entry.key.end : entry.value.start]
    plain = re.fullmatch(r"[ \t]*:[ \t]*", between) is not None and (not manner.yaml or between.endswith((" ", "\t")))
    return between if plain else manner.colon
