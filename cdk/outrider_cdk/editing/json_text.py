"""Reads JSON into nodes, with the place of each: RFC 8259 to the letter, and one reason when it is not."""

import json
import re
from typing import Final

from outrider_cdk.editing.errors import Unreadable, line_of
from outrider_cdk.editing.nodes import MAX_DEPTH, Entry, Mapping, Node, Scalar, Sequence

_WHITE: Final = re.compile(r"[ \t\r\n]*")
_WHITE_ONES: Final = frozenset(" \t\r\n")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_PLAIN_KEY: Final = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\r\n]*:[ \t\r\n]*')
_COMMA: Final = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: Final = {"true": True, "false": False, "null": None}
_MAX_DIGITS: Final = 300
"""Longest number that is read."""


def read_json(text: str) -> Node:
    """The tree of one JSON document. Raises Unreadable with the line where it ends to be JSON."""
    scanner = _Scanner(text)
    root, end = scanner.value(scanner.skip(0), 0)
    if scanner.skip(end) != len(text):
        raise scanner.wrong(scanner.skip(end), "something follows the end of the document")
    return root


class _Scanner:
    """Recursive descent; each method takes where to begin and gives the node and where it ended."""

    def __init__(self, text: str) -> None:
        self._text = text

    def skip(self, at: int) -> int:
        """Behind the white space."""
        if self._text[at : at + 1] not in _WHITE_ONES:
            return at
        match = _WHITE.match(self._text, at)
        return match.end() if match else at

    def wrong(self, at: int, expected: str) -> Unreadable:
        """The error, with what stands there instead."""
        if at >= len(self._text):
            return Unreadable(f"is no JSON: it ends where {expected}", line=line_of(self._text, at))
        found = self._text[at : at + 1]
        remedy = "JSON has no comments" if found in "/#" else ""
        says = f"is no JSON: {expected}, and there is {found!r}"
        return Unreadable(says, remedy=remedy, line=line_of(self._text, at))

    def value(self, at: int, depth: int) -> tuple[Node, int]:
        if depth > MAX_DEPTH:
            raise Unreadable(f"is nested more than {MAX_DEPTH} deep", line=line_of(self._text, at))
        opening = self._text[at : at + 1]
        if opening == "{":
            return self._object(at, depth)
        if opening == "[":
            return self._array(at, depth)
        node = self._string(at) if opening == '"' else self._word(at)
        return node, node.end

    def _object(self, start: int, depth: int) -> tuple[Node, int]:
        entries: list[Entry] = []
        at = self.skip(start + 1)
        while self._text[at : at + 1] != "}" or entries:
            key, at = self._key(at)
            value, at = self.value(at, depth + 1)
            entries.append(Entry(key, value))
            if comma := _COMMA.match(self._text, at):
                at = comma.end()
                continue
            at = self.skip(at)
            if self._text[at : at + 1] == "}":
                break
            raise self.wrong(at, "a comma or the end of the object should follow")
        return Mapping(start, at + 1, start + 1, tuple(entries)), at + 1

    def _key(self, at: int) -> tuple[Scalar, int]:
        """A key, and where its value begins; most have no escape in them, and are read at once."""
        if match := _PLAIN_KEY.match(self._text, at):
            return Scalar(at, match.end(1) + 1, match[1]), match.end()
        key = self._string(at)
        return key, self.skip(self._expect(":", self.skip(key.end), "a colon should follow the key"))

    def _array(self, start: int, depth: int) -> tuple[Node, int]:
        items: list[Node] = []
        at = self.skip(start + 1)
        while self._text[at : at + 1] != "]" or items:
            item, at = self.value(at, depth + 1)
            items.append(item)
            if comma := _COMMA.match(self._text, at):
                at = comma.end()
                continue
            at = self.skip(at)
            if self._text[at : at + 1] == "]":
                break
            raise self.wrong(at, "a comma or the end of the list should follow")
        return Sequence(start, at + 1, start + 1, tuple(items)), at + 1

    def _expect(self, character: str, at: int, expected: str) -> int:
        if self._text[at : at + 1] != character:
            raise self.wrong(at, expected)
        return at + 1

    def _string(self, at: int) -> Scalar:
        if self._text[at : at + 1] != '"':
            raise self.wrong(at, 'a key in `"` should be here')
        match = _STRING.match(self._text, at)
        if match is None:
            raise self.wrong(at, "a whole string should be here")
        written = match[0]
        # Without an escape the text is what stands between the quotes.
        return Scalar(at, match.end(), str(json.loads(written)) if "\\" in written else written[1:-1])

    def _word(self, at: int) -> Scalar:
        for word, value in _WORDS.items():
            if self._text.startswith(word, at):
                return Scalar(at, at + len(word), value)
        match = _NUMBER.match(self._text, at)
        if match is None:
            raise self.wrong(at, "a value should be here")
        if len(match[0]) > _MAX_DIGITS:
            raise self.wrong(at, f"a number of at most {_MAX_DIGITS} digits should be here")
        whole = match[1] is None and match[2] is None
        return Scalar(at, match.end(), int(match[0]) if whole else float(match[0]))
