"""Where a document's text changes for an edit: which container it is in, and how that is written."""

from collections.abc import Iterable, Iterator
from functools import cached_property

from outrider_cdk.editing import block, flow
from outrider_cdk.editing.errors import Uneditable, line_of
from outrider_cdk.editing.nodes import Alias, Entry, Mapping, Node, Sequence, key_is
from outrider_cdk.editing.places import aliases_of, find
from outrider_cdk.editing.plain import Plain
from outrider_cdk.editing.splice import Splice, newline_of
from outrider_cdk.editing.written_json import Manner
from outrider_cdk.editing.written_yaml import BlockManner
from outrider_cdk.rewriting.edits import Append, Delete, Edit, Insert, Replace
from outrider_cdk.rewriting.problems import Path


class Places:
    """One text with its tree; what is worked out once for all of its edits is kept."""

    def __init__(self, text: str, root: Node, *, is_yaml: bool) -> None:
        self._text = text
        self._root = root
        self._is_yaml = is_yaml

    def splices(self, edit: Edit) -> list[Splice]:
        """The changes for one edit. Raises Uneditable."""
        place = edit.path if isinstance(edit, Append) else edit.path[:-1]
        container = find(self._root, place, self._text, self._aliases)
        try:
            if not isinstance(container, Mapping | Sequence):
                line = line_of(self._text, container.start)
                raise Uneditable(place, "is neither a list nor an object", line=line)
            return self._within(container, place, edit)
        except Uneditable as error:
            raise Uneditable(error.path or edit.path, error.says, remedy=error.remedy) from error

    def _within(self, container: Mapping | Sequence, place: Path, edit: Edit) -> list[Splice]:
        match edit:
            case Insert(path, value):
                return self._add(container, str(path[-1]), value)
            case Append(_, value):
                return self._add(container, None, value)
            case Delete(path):
                if not container.flow and place and len(_members(container)) == 1:
                    return [self._replace(place, {} if isinstance(container, Mapping) else [])]
                return self._remove(container, path[-1])
            case Replace(path, value):
                return [self._replace(path, value)]

    def _add(self, container: Mapping | Sequence, key: str | None, value: Plain) -> list[Splice]:
        if (key is None) is isinstance(container, Mapping):
            raise Uneditable((), "is an object where a list should be, or a list where an object should be")
        if container.flow:
            return flow.add(self._text, container, key, value, self._manner)
        return block.add(self._text, container, key, value, self._block_manner)

    def _remove(self, container: Mapping | Sequence, step: str | int) -> list[Splice]:
        if isinstance(container, Sequence):
            index = step if isinstance(step, int) and 0 <= step < len(container.items) else -1
        else:
            index = next((number for number, entry in enumerate(container.entries) if key_is(entry, step)), -1)
        if index < 0:
            raise Uneditable((), "is not written there itself", remedy="take it away by hand")
        remove = flow.remove if container.flow else block.remove
        return remove(self._text, container, index)

    def _replace(self, path: Path, value: Plain) -> Splice:
        container = find(self._root, path[:-1], self._text, self._aliases)
        node = find(self._root, path, self._text, self._aliases, whole=True)
        if isinstance(container, Mapping | Sequence) and container.flow:
            return flow.replace(self._text, node, value, self._manner)
        entry: Entry | None = None
        if isinstance(container, Mapping):
            entry = next(each for each in container.entries if key_is(each, path[-1]))
        return block.replace(self._text, entry, node, value, self._block_manner)

    @cached_property
    def _aliases(self) -> dict[int, Alias]:
        return aliases_of(self._root)

    @cached_property
    def _block_manner(self) -> BlockManner:
        return block.manner_of(self._text, self._root)

    @cached_property
    def _manner(self) -> Manner:
        """How braces are written: JSON's by the first indented line and by whether a space follows any colon."""
        text = self._text
        if self._is_yaml:
            return Manner(newline_of(text), yaml=True)
        unit = next(_indents(text.splitlines()), "  ")
        tight = "\n" not in text.strip() and '": ' not in text and '" : ' not in text
        colon, comma = (":", ",") if tight else (": ", ", ")
        return Manner(newline_of(text), unit, colon, comma)


def _members(container: Mapping | Sequence) -> tuple[Entry, ...] | tuple[Node, ...]:
    return container.entries if isinstance(container, Mapping) else container.items


def _indents(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        white = line[: len(line) - len(line.lstrip(" \t"))]
        if white and line.strip():
            yield white
