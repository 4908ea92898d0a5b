"""Edits within YAML's collections without brackets: whole lines come and go.

A new line comes directly behind the line that the last value ends in, before the blank lines and comments that follow,
and goes with the line end before it, so that taking it away again is exact.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from outrider_cdk.editing.errors import Uneditable, line_of
from outrider_cdk.editing.nodes import Entry, Mapping, Node, Scalar, Sequence, children
from outrider_cdk.editing.plain import to_plain
from outrider_cdk.editing.splice import Splice, end_of_line, line_break_before, newline_of, start_of_line
from outrider_cdk.editing.written_yaml import BlockManner, block_lines, entry_lines, respelled
from outrider_cdk.editing.yaml_text import read_yaml

_KEPT: Final = re.compile(r'  # instead of ("(?:[^"\\\n]|\\["\\/bfnrt]|\\u[0-9a-f]{4})*")')
"""Behind a value that was put in another's place: how that was written, as JSON."""


def add(text: str, container: Mapping | Sequence, key: str | None, value: Any, manner: BlockManner) -> list[Splice]:
    """One more key or item at the end. Raises Uneditable where the file ends within a text of many lines."""
    if isinstance(container, Mapping):
        column = _column(text, container.entries[0].key.start)
        lines = entry_lines(str(key), value, manner)
    else:
        column = _column(text, container.dashes[0])
        lines = block_lines([value], manner)
    at = end_of_line(text, container.end)
    last = _last_of(container)
    if at == len(text) and isinstance(last, Scalar) and last.block and "-" not in last.block:
        says = "the file ends within a text of many lines, which a line behind it would make longer"
        raise Uneditable((), says, remedy="end the file with a line end", line=line_of(text, at))
    return [Splice(at, at, manner.newline + _indented(lines, column, manner.newline))]


def remove(text: str, container: Mapping | Sequence, index: int) -> list[Splice]:
    """One key or item less; the last one of the whole document leaves `{}` or `[]`."""
    if isinstance(container, Mapping):
        starts = [entry.key.start for entry in container.entries]
        end = max(container.entries[index].key.end, container.entries[index].value.end)
    else:
        starts = list(container.dashes)
        end = container.items[index].end
    if len(starts) == 1:
        return [Splice(starts[0], end, "{}" if isinstance(container, Mapping) else "[]")]
    if index == 0:
        return [Splice(starts[0], starts[1], "")]
    return [Splice(line_break_before(text, starts[index]), end_of_line(text, end), "")]


def replace(text: str, entry: Entry | None, node: Node, value: Any, manner: BlockManner) -> Splice:
    """Another value in the place of one; `entry` is the one that it is the value of, if it is in a mapping."""
    in_lines = not isinstance(node, Scalar) and not (isinstance(node, Mapping | Sequence) and node.flow)
    if in_lines and isinstance(value, dict | list) and value and type(value) is _kind(node):
        start = node.dashes[0] if isinstance(node, Sequence) else _first_key(node)
        lines = block_lines(value, manner)
        return Splice(start, node.end, _indented(lines, _column(text, start), manner.newline).lstrip(" "))
    new = respelled(text[node.start : node.end], value)
    if not in_lines:
        return _in_line(text, node, value, new)
    start = node.start if entry is None else text.index(":", entry.key.end) + 1
    return Splice(start, node.end, new if entry is None else " " + new)


def _in_line(text: str, node: Node, value: Any, new: str) -> Splice:
    """Another value in a line, with a comment that tells of a spelling that could not be known again from the value."""
    old = text[node.start : node.end]
    kept = _KEPT.match(text, node.end)
    if kept is not None and _spells(json.loads(kept[1]), value):
        spelling = json.loads(kept[1])
        start = node.start if spelling else len(text[: node.start].rstrip(" "))
        return Splice(start, kept.end(), spelling)
    if "\n" not in old and not _known_again(old, new):
        new += f"  # instead of {json.dumps(old)}"
    return Splice(node.start, node.end, new if old else " " + new)


def _known_again(old: str, new: str) -> bool:
    """Whether the old spelling is the one that the old value would be written with in the place of the new one."""
    try:
        return respelled(new, _plain_of(old)) == old
    except ValueError:
        return False


def _spells(spelling: str, value: Any) -> bool:
    try:
        return bool(_plain_of(spelling) == value)
    except ValueError:
        return False


def _plain_of(spelling: str) -> Any:
    """What one value says, written on one line; Any: a value of JSON."""
    text = f"[{spelling}]" if spelling else "[null]"
    return to_plain(read_yaml(text), text)[0]


def manner_of(text: str, root: Node) -> BlockManner:
    """How a document is indented, by the first mapping and the first list that stand below a key."""
    unit, list_unit = 0, -1
    waiting = [root]
    while waiting and not (unit and list_unit >= 0):
        node = waiting.pop(0)
        if isinstance(node, Mapping) and not node.flow:
            for entry in node.entries:
                step = _step(text, entry)
                if isinstance(entry.value, Mapping):
                    unit = unit or max(step, 0)
                elif isinstance(entry.value, Sequence) and list_unit < 0:
                    list_unit = step
        waiting += children(node)
    unit = unit or 2
    return BlockManner(newline_of(text), unit, list_unit if list_unit >= 0 else unit)


def _step(text: str, entry: Entry) -> int:
    """How much further in a value stands than its key; negative where it is no collection of its own lines."""
    value = entry.value
    if not isinstance(value, Mapping | Sequence) or value.flow:
        return -1
    start = value.dashes[0] if isinstance(value, Sequence) else _first_key(value)
    return _column(text, start) - _column(text, entry.key.start)


def _first_key(node: Node) -> int:
    return node.entries[0].key.start if isinstance(node, Mapping) else node.start


def _kind(node: Node) -> type:
    return dict if isinstance(node, Mapping) else list


def _column(text: str, at: int) -> int:
    return at - start_of_line(text, at)


def _indented(lines: Iterable[str], column: int, newline: str) -> str:
    return newline.join(" " * column + line for line in lines)


def _last_of(node: Node) -> Node:
    """The value that a node's text ends with."""
    while parts := list(children(node)):
        node = parts[-1]
    return node
