"""A text as a document: read it, edit it, and be sure that the edits did what they should and nothing else."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from outrider_cdk.editing.changes import Places
from outrider_cdk.editing.errors import Uneditable, Unreadable, line_of
from outrider_cdk.editing.json_text import read_json
from outrider_cdk.editing.nodes import Node
from outrider_cdk.editing.places import place_of
from outrider_cdk.editing.plain import Plain, to_plain
from outrider_cdk.editing.splice import spliced
from outrider_cdk.editing.yaml_text import read_yaml
from outrider_cdk.rewriting.edits import Append, Edit, Replace, apply
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
        places = Places(text, current.root, is_yaml=document.syntax == "yaml")
        splices = [splice for edit in some for splice in places.splices(edit)]
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
