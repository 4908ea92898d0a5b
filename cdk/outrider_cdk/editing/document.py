"""A text as a document: read it, edit it, and be sure that the edits did what they should and nothing else."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from outrider_cdk.editing import block, flow
from outrider_cdk.editing.errors import Uneditable, Unreadable, line_of
from outrider_cdk.editing.json_text import read_json
from outrider_cdk.editing.nodes import Alias, Entry, Mapping, Node, key_is
from outrider_cdk.editing.nodes import Sequence as Items
from outrider_cdk.editing.places import aliases_of, find, place_of
from outrider_cdk.editing.plain import Plain, to_plain
from outrider_cdk.editing.splice import Splice, newline_of, spliced
from outrider_cdk.editing.written_json import Manner
from outrider_cdk.editing.yaml_text import read_yaml
from outrider_cdk.rewriting.edits import Append, Delete, Edit, Insert, Replace, apply
from outrider_cdk.rewriting.problems import Path

MAX_BYTES: Final = 16 * 1024 * 1024
"""Largest file that is read; CloudFormation takes templates of one megabyte."""
_MARK: Final = "\ufeff"

Syntax = Literal["json", "yaml"]


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its text without the byte order mark it may begin with, what it says, and where."""

    text: str
    syntax: Syntax
    root: Node
    value: Plain
    mark: str = ""

    def line_of(self, path: Path) -> int:
        """The line, from 1, of what is at a path, or of the last that is there on the way to it."""
        return line_of(self.text, place_of(self.root, path))

    def to_bytes(self) -> bytes:
        """The file."""
        return (self.mark + self.text).encode()


def read_document(data: bytes, name: str = "") -> Document:
    """The document in a file, by its name's ending JSON or YAML, else by what it is. Raises Unreadable."""
    if len(data) > MAX_BYTES:
        raise Unreadable(f"is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"is no UTF-8 (byte {error.start})", remedy="save it as UTF-8") from error
    mark = _MARK if text.startswith(_MARK) else ""
    text = text.removeprefix(_MARK)
    if not text.strip():
        raise Unreadable("is empty")
    syntax, root = _read(text, name)
    return Document(text, syntax, root, to_plain(root, text), mark)


def _read(text: str, name: str) -> tuple[Syntax, Node]:
    """YAML holds JSON but for tabs and some escapes, so that what is JSON is read as JSON whatever its name."""
    opening = text.lstrip()[:1]
    if opening not in ("{", "["):
        if name.lower().endswith(".json"):
            raise Unreadable("is no JSON: it begins with neither { nor [", line=1)
        return "yaml", read_yaml(text)
    try:
        return "json", read_json(text)
    except Unreadable:
        if name.lower().endswith(".json") or text.lstrip()[1:].lstrip()[:1] == '"':
            raise
        return "yaml", read_yaml(text)


def edited(document: Document, edits: Sequence[Edit]) -> Document:
    """The document with the edits made, everything else byte for byte. Raises Uneditable."""
    text = document.text
    current = document
    for some in _rounds(edits):
        aliases = aliases_of(current.root)
        splices = [splice for edit in some for splice in _splices(current, aliases, edit)]
        try:
            text = spliced(text, splices)
            syntax, root = (document.syntax, read_json(text) if document.syntax == "json" else read_yaml(text))
            current = Document(text, syntax, root, to_plain(root, text), document.mark)
        except ValueError as error:
            raise Uneditable(some[0].path, f"cannot be changed in this text: {error}", remedy=_PLAINER) from error
    if current.value != apply(document.value, edits):
        raise Uneditable((), "cannot be changed in this text without changing something else", remedy=_PLAINER)
    return current


_PLAINER: Final = "write this part more plainly (anchors, tags and `? ` keys written out), or as JSON"


def _rounds(edits: Sequence[Edit]) -> Iterator[list[Edit]]:
    """The edits in groups whose places are apart, so that each group needs the text to be read only once."""
    waiting = list(edits)
    while waiting:
        chosen: list[Edit] = []
        left: list[Edit] = []
        taken: list[Path] = []
        for edit in waiting:
            place = edit.path if isinstance(edit, Append | Replace) else edit.path[:-1]
            apart = not any(_nested(place, other) for other in taken)
            (chosen if apart else left).append(edit)
            taken.append(place)
        yield chosen
        waiting = left


def _nested(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _splices(document: Document, aliases: dict[int, Alias], edit: Edit) -> list[Splice]:
    """Where the text changes for one edit. Raises Uneditable."""
    text = document.text
    place = edit.path if isinstance(edit, Append) else edit.path[:-1]
    container = find(document.root, place, text, aliases)
    try:
        if not isinstance(container, Mapping | Items):
            raise Uneditable(place, "is neither a list nor an object", line=line_of(text, container.start))
        match edit:
            case Insert(path, value):
                return _add(document, container, str(path[-1]), value)
            case Append(_, value):
                return _add(document, container, None, value)
            case Delete(path):
                if not container.flow and len(_members(container)) == 1 and place:
                    return [_replace(document, place, {} if isinstance(container, Mapping) else [], aliases)]
                return _remove(document, container, path[-1])
            case Replace(path, value):
                return [_replace(document, path, value, aliases)]
    except Uneditable as error:
        raise Uneditable(error.path or edit.path, error.says, remedy=error.remedy) from error


def _add(document: Document, container: Mapping | Items, key: str | None, value: Plain) -> list[Splice]:
    if (key is None) is isinstance(container, Mapping):
        raise Uneditable((), "is an object where a list should be, or a list where an object should be")
    if container.flow:
        return flow.add(document.text, container, key, value, json_manner(document))
    return block.add(document.text, container, key, value, block.manner_of(document.text, document.root))


def _remove(document: Document, container: Mapping | Items, step: str | int) -> list[Splice]:
    if isinstance(container, Items):
        index = step if isinstance(step, int) and 0 <= step < len(container.items) else -1
    else:
        index = next((number for number, entry in enumerate(container.entries) if key_is(entry, step)), -1)
    if index < 0:
        raise Uneditable((), "is not written there itself", remedy="take it away by hand")
    remove = flow.remove if container.flow else block.remove
    return remove(document.text, container, index)


def _members(container: Mapping | Items) -> tuple[Entry, ...] | tuple[Node, ...]:
    return container.entries if isinstance(container, Mapping) else container.items


def _replace(document: Document, path: Path, value: Plain, aliases: dict[int, Alias]) -> Splice:
    container = find(document.root, path[:-1], document.text, aliases)
    node = find(document.root, path, document.text, aliases, whole=True)
    if isinstance(container, Mapping | Items) and container.flow:
        return flow.replace(document.text, node, value, json_manner(document))
    entry: Entry | None = None
    if isinstance(container, Mapping):
        entry = next(each for each in container.entries if key_is(each, path[-1]))
    return block.replace(document.text, entry, node, value, block.manner_of(document.text, document.root))


def json_manner(document: Document) -> Manner:
    """How a document's braces are written, by the first indented line in them and the first comma that is behind it."""
    text = document.text
    unit = next(_indents(text.splitlines()), "  ") if document.syntax == "json" else "  "
    tight = document.syntax == "json" and "\n" not in text.strip() and '": ' not in text and '" : ' not in text
    colon, comma = (":", ",") if tight else (": ", ", ")
    return Manner(newline_of(text), unit, colon, comma, document.syntax == "yaml")


def _indents(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        white = line[: len(line) - len(line.lstrip(" \t"))]
        if white and line.strip():
            yield white
