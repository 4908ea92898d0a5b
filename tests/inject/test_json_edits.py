"""Edits in the text of JSON."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_documents import DOCUMENTS, some_edits, undoing, write_json

from outrider_cdk.editing import Unreadable, edited, read_document
from outrider_cdk.editing.json_text import read_json
from outrider_cdk.editing.plain import to_plain
from outrider_cdk.rewriting.edits import Append, Delete, Insert, Replace, apply


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.integers(0, 2**32))
def test_what_is_added_is_taken_away_to_the_byte(value: dict[str, Any], seed: int) -> None:
    """For random documents in random formatting, adding and removing gives the same bytes."""
    rng = random.Random(seed)
    data = write_json(value, rng).encode()
    document = read_document(data)
    assert document.value == json.loads(data)
    edits = some_edits(value, rng, 4, adding=True)
    changed = edited(document, edits)
    assert json.loads(changed.to_bytes()) == apply(value, edits)
    assert edited(changed, undoing(value, edits)).to_bytes() == data


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.integers(0, 2**32))
def test_any_edit_says_in_text_what_it_says_in_values(value: dict[str, Any], seed: int) -> None:
    """What the edited text says is what the edits make of the value."""
    rng = random.Random(seed)
    edits = some_edits(value, rng, 4, adding=False)
    changed = edited(read_document(write_json(value, rng).encode()), edits)
    assert json.loads(changed.to_bytes()) == apply(value, edits)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text('{}[]",:\\ \n\t0123456789.eE+-truefalsn', max_size=40)))
def test_a_text_is_json_or_refused(text: str) -> None:
    """The scanner reads what Python's reads, and refuses the rest with its one error."""
    try:
        expected: object = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except ValueError:
        expected = ValueError
    try:
        found: object = to_plain(read_json(text), text)
    except Unreadable:
        found = ValueError
    assert found == expected


def _refuse(name: str) -> object:
    raise ValueError(name)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("twice")
    return dict(pairs)


CASES = {
    "a new line as the others": (
        b'{\r\n\t"a": 1,\r\n\t"b": []\r\n}\r\n',
        [Insert(("c",), {"x": [1]}), Append(("b",), "y")],
        b'{\r\n\t"a": 1,\r\n\t"b": ["y"],\r\n\t"c": {\r\n\t\t"x": [\r\n\t\t\t1\r\n\t\t]\r\n\t}\r\n}\r\n',
    ),
    "on one line": (b'{"a":1,"b":[1,2]}', [Append(("b",), {"c": 3})], b'{"a":1,"b":[1,2,{"c":3}]}'),
    "colons as the others": (b'{"a" : 1}', [Insert(("b",), 2)], b'{"a" : 1, "b" : 2}'),
    "items that embrace": (
        b'{\n  "l": [{\n    "a": 1\n  }]\n}\n',
        [Append(("l",), {"b": 2})],
        b'{\n  "l": [{\n    "a": 1\n  }, {\n    "b": 2\n  }]\n}\n',
    ),
    "commas first": (b'{ "a": 1\n, "b": 2\n}', [Insert(("c",), 3)], b'{ "a": 1\n, "b": 2\n, "c": 3\n}'),
    "first of three": (b'{\n "a": 1,\n "b": 2\n}', [Delete(("a",))], b'{\n "b": 2\n}'),
    "another value": (b'{"a": "x" , "b":2}', [Replace(("a",), "\u00e9")], '{"a": "é" , "b":2}'.encode()),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', [Insert(("b",), 2)], b'\xef\xbb\xbf{"a": 1, "b": 2}'),
}


@pytest.mark.parametrize("name", CASES)
def test_new_text_follows_the_old(name: str) -> None:
    """Indentation, line ends, colons and commas are those of the document."""
    before, edits, after = CASES[name]
    assert edited(read_document(before), edits).to_bytes() == after


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"a": 1,}', "line 1: is no JSON: a key"),
        (b'{"a": 1\n"b": 2}', "line 2: is no JSON: a comma"),
        (b'{"a": 1', "ends where"),
        (b'{"a": "x\ny"}', "whole string"),
        (b'{"a": 1} x', "something follows"),
        (b'{"a": NaN}', "a value should be here"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice"),
        (b'{"a": 1, // why\n "b": 2}', "is no JSON"),
        (b"\xff\xfe{\x00", "is no UTF-8"),
        (b'{"a": ' + b"[" * 5000, "nested more than"),
        (b'{"a": ' + b"1" * 5000 + b"}", "at most 300 digits"),
    ],
)
def test_bad_text_is_refused_with_its_place(data: bytes, says: str) -> None:
    """Each kind of damage has its sentence."""
    with pytest.raises(Unreadable) as caught:
        read_document(data, "x.json" if data.strip() else "")
    assert says in str(caught.value)
