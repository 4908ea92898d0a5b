"""YAML with places: text of a rule file to plain nodes that know where each character came from.

The tree is built here from the parser's events, without recursion: libyaml's own composer recurses on the C
stack, and a file of brackets would end the process. Scalars keep their text as written: `80`, `yes` and `"yes"`
are texts, and what they mean is for the key that holds them to say (YAML 1.1 would make booleans of names of
programs). An alias is the node it points to; `MAX_NODES` bounds what aliases can be made to unfold to.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final

import yaml
from msgspec import Struct

from outrider_rules.problems import Problem, RulesError

MAX_SOURCE_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 16
"""Deepest nesting of sequences and mappings; rules need four."""
MAX_NODES: Final = 500_000
"""Most nodes one file may unfold to, aliases counted as often as they are used."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_ESCAPE_DIGITS = {"x": 2, "u": 4, "U": 8}


class RuleSource(Struct, frozen=True):
    """One rule file: its name, for messages, and its text or bytes (UTF-8)."""

    name: str
    text: str | bytes


class Source:
    """The text of one file, and the place of any index in it."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._starts: list[int] | None = None

    def problem(self, index: int, message: str, hint: str = "") -> Problem:
        """A problem at an index of the text."""
        if self._starts is None:
            self._starts = [0, *(match.end() for match in _LINE_END.finditer(self.text))]
        index = min(max(index, 0), len(self.text))
        line = bisect_right(self._starts, index) - 1
        start = self._starts[line]
        end = _LINE_END.search(self.text, start)
        shown = self.text[start : end.start() if end else len(self.text)]
        return Problem(self.name, line + 1, index - start + 1, message, hint, shown)


class Scalar(Struct, frozen=True, gc=False):
    """A text, its place, and how it was quoted (`'`, `"`, `|`, `>` or nothing)."""

    source: Source
    start: int
    end: int
    value: str
    style: str


class Sequence(Struct, frozen=True):
    """A list of nodes."""

    source: Source
    start: int
    items: list["Node"]


class Mapping(Struct, frozen=True):
    """Keys and values in their order; keys may repeat, which the reader of the keys refuses."""

    source: Source
    start: int
    pairs: list[tuple["Node", "Node"]]


Node = Scalar | Sequence | Mapping


def read_source(given: RuleSource) -> Source:
    """The text of a file.

    Raises: RulesError when it is too large or not UTF-8.
    """
    text = given.text
    try:
        raw = text.encode("utf-8") if isinstance(text, str) else text
        if len(raw) > MAX_SOURCE_BYTES:
            raise RulesError([Problem(given.name, 1, 1, f"the file is larger than {MAX_SOURCE_BYTES} bytes")])
        return Source(given.name, raw.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeEncodeError | UnicodeDecodeError) else 0
        before = raw[:start] if not isinstance(text, str) else text[:start].encode("utf-8", "replace")
        line, column = before.count(b"\n") + 1, start - (before.rfind(b"\n") + 1) + 1
        raise RulesError([Problem(given.name, line, column, "the file is not UTF-8 text")]) from error


def compose(source: Source) -> list[Node]:
    """The documents of a file as nodes.

    Raises: RulesError where it is not YAML, or nested or unfolded past the bounds.
    """
    try:
        return _build(source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not YAML: {error.problem or error.context or 'cannot be read'}"
        began = error.context_mark
        hint = f"{error.context}, which began on line {began.line + 1}" if error.context and began else ""
        raise RulesError([source.problem(mark.index if mark else 0, message, hint)]) from error
    except yaml.YAMLError as error:
        position = getattr(error, "position", 0)
        index = position if isinstance(position, int) else 0
        raise RulesError([source.problem(index, f"not YAML: {getattr(error, 'reason', error)}")]) from error


def _build(source: Source) -> list[Node]:
    documents: list[Node] = []
    open_nodes: list[tuple[Sequence | Mapping, list[Node], str | None]] = []
    anchors: dict[str, tuple[Node, int]] = {}
    sizes: list[int] = []
    size = 0
    for event in yaml.parse(source.text, Loader=_LOADER):
        start, end = (mark.index if mark is not None else 0 for mark in (event.start_mark, event.end_mark))
        node: Node | None = None
        anchor: str | None = getattr(event, "anchor", None)
        if isinstance(event, yaml.ScalarEvent):
            node = Scalar(source, start, end, event.value, event.style or "")
            size += 1
            if anchor is not None:
                anchors[anchor] = (node, 1)
        elif isinstance(event, yaml.AliasEvent):
            if anchor is None or anchor not in anchors:
                raise RulesError([source.problem(start, "an alias of something that is not defined before it")])
            node, unfolded = anchors[anchor]
            size += unfolded
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            if len(open_nodes) >= MAX_DEPTH:
                raise RulesError([source.problem(start, f"nested deeper than {MAX_DEPTH} levels")])
            kind = Sequence if isinstance(event, yaml.SequenceStartEvent) else Mapping
            open_nodes.append((kind(source, start, []), [], anchor))
            sizes.append(size)
            size += 1
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            node, children, anchor = open_nodes.pop()
            _fill(node, children)
            before = sizes.pop()
            if anchor is not None:
                anchors[anchor] = (node, size - before)
        if size > MAX_NODES:
            raise RulesError([source.problem(start, f"the file unfolds to more than {MAX_NODES} nodes")])
        if node is not None:
            (open_nodes[-1][1] if open_nodes else documents).append(node)
    return documents


def _fill(node: Sequence | Mapping, children: list[Node]) -> None:
    if isinstance(node, Sequence):
        node.items.extend(children)
    else:
        node.pairs.extend(zip(children[::2], children[1::2], strict=True))


def index_of(scalar: Scalar, offset: int) -> int:
    """The index in the file of a character of a scalar's value.

    What is not white space stands in the file in the same order as in the value; white space is what YAML folds.
    """
    text, position = scalar.source.text, scalar.start
    if scalar.style in ("|", ">"):
        end = _LINE_END.search(text, position)
        position = end.end() if end else scalar.end
    elif scalar.style:
        position += 1
    found = position
    for count, character in enumerate(scalar.value):
        if count > offset:
            break
        if character.isspace():
            continue
        for index, written in _written(scalar, position):
            if written == character:
                found, position = index, _after(scalar, index)
                break
        else:
            return found
    if offset < len(scalar.value) and scalar.value[offset].isspace():
        return position
    return position if offset >= len(scalar.value) else found


def _written(scalar: Scalar, position: int) -> Iterator[tuple[int, str]]:
    """The characters of the value as they stand in the file from a position on, escapes undone."""
    text = scalar.source.text
    while position < scalar.end:
        character = text[position]
        if scalar.style == '"' and character == "\\":
            digits = _ESCAPE_DIGITS.get(text[position + 1], 0)
            code = text[position + 2 : position + 2 + digits]
            yield position, chr(int(code, 16)) if digits else text[position + 1]
        else:
            yield position, character
        position = _after(scalar, position)


def _after(scalar: Scalar, position: int) -> int:
    """The position behind the character written at a position."""
    text = scalar.source.text
    if scalar.style == '"' and text[position] == "\\":
        return position + 2 + _ESCAPE_DIGITS.get(text[position + 1 : position + 2], 0)
    return position + (2 if scalar.style == "'" and text[position : position + 2] == "''" else 1)
