"""Random documents in random formatting, and random edits that fit them."""

import json
import random
import re
from typing import Any

import yaml
from hypothesis import strategies as st

from outrider_cdk.editing.written_json import quoted
from outrider_cdk.rewriting.edits import Append, Delete, Edit, Insert, Replace, apply, value_at

WORDS = ("name", "image", "Environment", "a b", "é", "on", "8080", "x:y", "#no", "- dash", "", "true", "cpu")
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5000),
    st.sampled_from(
        ["task", "web:1.2", "arn:aws:x:y", "", "no", "12", "a, b", "# c", "l1\nl2\n", "t\t\u00e9\u2028", '"q"']
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.sampled_from(WORDS), VALUES, min_size=1, max_size=5)


def write_json(value: Any, rng: random.Random) -> str:
    """JSON with white space wherever it may be, in one of a few manners."""
    newline = rng.choice(["\n", "\r\n"])
    manner = rng.choice(["tight", "pretty", "wild", "commas-first"])
    unit = rng.choice(["  ", "\t", "    ", " "])
    if manner == "tight":
        return json.dumps(value, separators=(",", ":"), ensure_ascii=rng.random() < 0.5)
    if manner == "pretty":
        return (json.dumps(value, indent=unit, ensure_ascii=False) + rng.choice(["", "\n"])).replace("\n", newline)
    return _wild(value, rng, newline, unit, 0, manner == "commas-first")


def _wild(value: Any, rng: random.Random, newline: str, unit: str, depth: int, first: bool) -> str:
    def white() -> str:
        if first:
            return newline + unit * depth
        return rng.choice(["", " ", "\t", newline, newline + unit * depth, " " + newline + newline])

    if isinstance(value, dict):
        parts = [
            white()
            + json.dumps(key)
            + rng.choice(["", " "])
            + ":"
            + rng.choice(["", " "])
            + _wild(item, rng, newline, unit, depth + 1, first)
            for key, item in value.items()
        ]
        return "{" + (white() + ",").join(parts) + white() + "}"
    if isinstance(value, list):
        parts = [white() + _wild(item, rng, newline, unit, depth + 1, first) for item in value]
        return "[" + (white() + ",").join(parts) + white() + "]"
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


def write_yaml(value: Any, rng: random.Random) -> str:
    """YAML in block and flow styles, with comments, blank lines, indentation and line ends as people have them."""
    writer = _YamlWriter(rng)
    text = "".join(writer.lines(value, 0)) if isinstance(value, dict) and value else writer.flow(value, 0) + "\n"
    head = rng.choice(["", "---\n", "# top\n\n"])
    text = head + text + rng.choice(["", "# end\n", "\n\n", "...\n"])
    text = text.replace("\n", "\r\n") if rng.random() < 0.2 else text
    return text.rstrip("\r\n") if rng.random() < 0.1 and not text.endswith(" ") and "|" not in text else text


class _YamlWriter:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.step = rng.choice([1, 2, 4])
        self.list_step = rng.choice([0, self.step])

    def lines(self, value: Any, column: int) -> list[str]:
        """A collection that is not empty, each line indented."""
        made: list[str] = []
        for key in value:
            if isinstance(value, dict):
                made += self._member(self.string(key) + ":", value[key], column, in_list=False)
            else:
                made += self._member("-", key, column, in_list=True)
            made += self._between(column)
        return made

    def _between(self, column: int) -> list[str]:
        return [self.rng.choice(["\n", " " * column + "# why\n", "# all the way left\n"])] * (self.rng.random() < 0.2)

    def _member(self, head: str, item: Any, column: int, *, in_list: bool) -> list[str]:
        lead = " " * column + head
        if isinstance(item, dict | list) and item and self.rng.random() < 0.75:
            if in_list:
                inner = self.lines(item, column + 2)
                inner[0] = lead + " " + inner[0].lstrip(" ")
                return inner
            step = self.list_step if isinstance(item, list) else self.step
            return [lead + self.comment() + "\n", *self.lines(item, column + step)]
        if isinstance(item, str) and item and "\n" in item and self.rng.random() < 0.7:
            return self._block_text(lead, item, column)
        text = "" if item is None and self.rng.random() < 0.3 else " " + self.flow(item, column + 2)
        return [lead + text + self.comment() + "\n"]

    def _block_text(self, lead: str, item: str, column: int) -> list[str]:
        if not all(line and line.isprintable() and line[0].isalnum() for line in item[:-1].split("\n")):
            return [lead + " " + json.dumps(item) + "\n"]
        chomp = self.rng.choice(["", "+"]) if item.endswith("\n") else "-"
        body = "".join(" " * (column + 2) + line + "\n" for line in item.removesuffix("\n").split("\n"))
        return [f"{lead} |{chomp}\n", body]

    def comment(self) -> str:
        return self.rng.choice(["", "", "", "  # a comment: with, marks", " #"])

    def flow(self, value: Any, column: int) -> str:
        """In brackets, on one line or several."""
        lines = self.rng.random() < 0.3
        inner, end = ("\n" + " " * (column + 2), "\n" + " " * column) if lines else ("", "")
        if lines and self.rng.random() < 0.3:
            inner = "  # c, d" + inner
        comma = "," + (inner or self.rng.choice([" ", "  "]))
        last = "," if self.rng.random() < 0.2 and value else ""
        if isinstance(value, dict):
            parts = [f"{self.string(key)}: {self.flow(value[key], column + 2)}" for key in value]
            return "{" + (inner + comma.join(parts) + last + end if parts else "") + "}"
        if isinstance(value, list):
            parts = [self.flow(item, column + 2) for item in value]
            return "[" + (inner + comma.join(parts) + last + end if parts else "") + "]"
        return self.string(value) if isinstance(value, str) else self.rng.choice([json.dumps(value), _spelt(value)])

    def string(self, text: str) -> str:
        if re.fullmatch("[a-zA-Z]+", text) and text not in ("on", "true", "no", "y", "n") and self.rng.random() < 0.7:
            return text if yaml.safe_load(text) == text else json.dumps(text)
        if "'" not in text and re.fullmatch("[ -~]*", text) and self.rng.random() < 0.3:
            return f"'{text}'"
        return quoted(text)


def _spelt(value: Any) -> str:
    return (
        {True: "yes", False: "No", None: "~"}.get(value, json.dumps(value))
        if not isinstance(value, int) or isinstance(value, bool)
        else json.dumps(value)
    )


def some_edits(value: Any, rng: random.Random, count: int, *, adding: bool) -> list[Edit]:
    """Edits that fit a value one after the other; with `adding` only such as add."""
    edits: list[Edit] = []
    for number in range(count):
        edit = _edit(value, rng, number, adding)
        value = apply(value, [edit])
        edits.append(edit)
    return edits


def _edit(value: Any, rng: random.Random, number: int, adding: bool) -> Edit:
    places = list(_places(value, ()))
    new = rng.choice(["v", 5, None, [], {}, [{"a": "b: c", "l": [1, "x\ny"]}], {"k": {"deep": ["z", True]}}])
    path, found = rng.choice([place for place in places if isinstance(place[1], dict | list)])
    if not adding and path and rng.random() < 0.3:
        return Delete(path)
    if not adding and rng.random() < 0.4:
        inner = [place for place in places if place[0]]
        if inner:
            return Replace(rng.choice(inner)[0], new)
    if isinstance(found, list):
        return Append(path, new)
    return Insert((*path, f"new{number}"), new)


def _places(value: Any, path: tuple[str | int, ...]) -> Any:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index))


def undoing(value: Any, edits: list[Edit]) -> list[Edit]:
    """What takes edits that only added away again, the last one first."""
    undo: list[Edit] = []
    for edit in edits:
        if isinstance(edit, Append):
            undo.insert(0, Delete((*edit.path, len(value_at(value, edit.path)))))
        else:
            undo.insert(0, Delete(edit.path))
        value = apply(value, [edit])
    return undo
