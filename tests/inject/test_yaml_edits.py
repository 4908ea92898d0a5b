"""Edits in the text of YAML."""

import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from random_documents import DOCUMENTS, some_edits, undoing, write_yaml

from outrider_cdk.editing import Uneditable, Unreadable, edited, read_document, yaml_text
from outrider_cdk.rewriting.edits import Append, Edit, Insert, Replace, apply, value_at


@settings(max_examples=80, deadline=None)
@given(DOCUMENTS, st.integers(0, 2**32))
def test_what_is_added_is_taken_away_to_the_byte(value: dict[str, Any], seed: int) -> None:
    """For random documents in random block and flow styles with comments, adding and removing gives the same bytes."""
    rng = random.Random(seed)
    data = write_yaml(value, rng).encode()
    document = read_document(data, "x.yaml")
    value = yaml.safe_load(data)
    assert document.value == value
    edits = some_edits(value, rng, 4, adding=True)
    changed = edited(document, edits)
    assert yaml.safe_load(changed.to_bytes()) == apply(value, edits)
    assert edited(changed, undoing(value, edits)).to_bytes() == data


@settings(max_examples=80, deadline=None)
@given(DOCUMENTS, st.integers(0, 2**32))
def test_any_edit_says_in_text_what_it_says_in_values(value: dict[str, Any], seed: int) -> None:
    """What the edited text says is what the edits make of the value."""
    rng = random.Random(seed)
    document = read_document(write_yaml(value, rng).encode(), "x.yaml")
    value = document.value
    edits = some_edits(value, rng, 4, adding=False)
    changed = edited(document, edits)
    assert yaml.safe_load(changed.to_bytes()) == apply(value, edits)


TEMPLATE = b"""\
# The service.
Resources:
  Task:  # it
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: !Sub "${AWS::StackName}-web"
      Cpu: 0256
      ContainerDefinitions:
        - Name: web
          Image: !Join [":", [!Ref Repo, latest]]
          Command:
            - |
              one
              two


  # The end of the task.
  Other: &o {a: 1}
Outputs: {b: *o}
"""

CASES: dict[str, tuple[bytes, list[Edit], bytes]] = {
    "short tags stay": (
        TEMPLATE,
        [Append(("Resources", "Task", "Properties", "ContainerDefinitions"), {"Name": "o", "User": "0"})],
        TEMPLATE.replace(b"two\n", b'two\n        - Name: o\n          User: "0"\n'),
    ),
    "comments behind the end stay there": (
        TEMPLATE,
        [Insert(("Resources", "Task", "Properties", "PidMode"), "task"), Insert(("New",), [])],
        TEMPLATE.replace(b"two\n", b"two\n      PidMode: task\n") + b"New: []\n",
    ),
    "lists at the column of their key": (b"a:\n- b: 1\n", [Append(("a",), {"c": [2]})], b"a:\n- b: 1\n- c:\n  - 2\n"),
    "no line end at the end": (b"a: 1", [Insert(("b",), "x")], b"a: 1\nb: x"),
    "line ends of two characters": (
        b"a: 1\r\nb:\r\n  - c\r\n",
        [Append(("b",), "d")],
        b"a: 1\r\nb:\r\n  - c\r\n  - d\r\n",
    ),
    "in braces, on lines": (
        b"a: [\n  {b: 1},  # one\n]\n",
        [Append(("a",), {"c": "x: y"})],
        b'a: [\n  {b: 1},  # one\n  {\n    "c": "x: y"\n  },\n]\n',
    ),
    "blank lines that are text": (
        b"a: |+\n  x\n\nb: 1\n",
        [Replace(("b",), 2), Insert(("c",), 3)],
        b"a: |+\n  x\n\nb: 2\nc: 3\n",
    ),
    "a text kept to its last line end": (
        b"a:\n  k: |+\n    x\n\n",
        [Insert(("a", "b"), 1)],
        b"a:\n  k: |+\n    x\n\n  b: 1\n",
    ),
    "a spelling that would be lost": (
        b"a: ~ # c\nb: 1\n",
        [Replace(("a",), "v")],
        b'a: v  # instead of "~" # c\nb: 1\n',
    ),
    "nothing at all": (b"a:\nb: 1\n", [Replace(("a",), "v")], b'a: v  # instead of ""\nb: 1\n'),
    "a tag": (b"a: !Ref AWS::NoValue\n", [Replace(("a",), "v")], b'a: v  # instead of "!Ref AWS::NoValue"\n'),
    "quotes": (b"a: ''\n", [Replace(("a",), "v")], b"a: 'v'\n"),
    "an anchor that nobody uses": (b"a: &x\n  b: 1\n", [Insert(("a", "c"), 2)], b"a: &x\n  b: 1\n  c: 2\n"),
}


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
@pytest.mark.parametrize("name", CASES)
def test_new_lines_follow_the_old(name: str, loader: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indentation, comments, tags and line ends stay those of the document, and all of it can be undone to the byte.

    With libyaml and without.
    """
    monkeypatch.setattr(yaml_text, "LOADER", loader)
    before, edits, after = CASES[name]
    document = read_document(before, "x.yaml")
    changed = edited(document, edits)
    assert changed.to_bytes() == after
    undo: list[Edit] = [each for edit in reversed(edits) for each in _undoing(document.value, edit)]
    assert edited(changed, undo).to_bytes() == before


def _undoing(value: Any, edit: Edit) -> list[Edit]:
    if isinstance(edit, Replace):
        return [Replace(edit.path, value_at(value, edit.path))]
    return undoing(value, [edit])


@pytest.mark.parametrize(
    ("data", "edit", "says"),
    [
        (b"a: &x {b: 1}\nc: *x\n", Insert(("a", "d"), 1), "taken over elsewhere by `*x` in line 2"),
        (b"a: &x {b: 1}\nc: *x\n", Insert(("c", "d"), 1), "stands for something else (`*x`)"),
        (b"a: &x\n  b: []\nc:\n  <<: *x\n", Append(("c", "b"), 1), "comes from `<<`"),
        (b"a: !If [c, {}, {}]\n", Insert(("a", "d"), 1), "stands for something else (`!If`)"),
        (b"a: |\n  x", Insert(("b",), 1), "the file ends within a text of many lines"),
        (b"? a\n: b: 1\n? c\n", Insert(("d",), 1), "cannot be changed"),
    ],
)
def test_what_cannot_be_edited_is_refused(data: bytes, edit: Edit, says: str) -> None:
    """Anchors, tags and odd forms are refused where an edit would change more than it should."""
    with pytest.raises(Uneditable) as caught:
        edited(read_document(data, "x.yaml"), [edit])
    assert says in caught.value.says


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a: 1\n---\nb: 2\n", "line 2: holds several documents"),
        (b"a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is there twice"),
        (b"a: [1\nb: 2\n", "line 2: is no YAML"),
        (b"a: *x\n", "stands for nothing"),
        (b"# nothing\n", "is empty"),
        (b"a: !!python/object/apply:os.system [id]\nb: !!python/name:os.system x\n", "has a tag that is not known"),
        (b"a: " + b"[" * 3000 + b"]" * 3000, "nested more than"),
        (b"a: \x07\n", "is no YAML"),
        (b"[a, b]: c\n", "a key is no plain text"),
        (b"\ta: 1\n", "is no YAML"),
        (
            b"l0: &l0 [x, x]\n" + b"".join(b"l%d: &l%d [*l%d, *l%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 30)),
            "more than 250000 values",
        ),
    ],
)
def test_bad_yaml_is_refused_with_its_place(data: bytes, says: str) -> None:
    """Each kind of damage has its sentence, and nothing in a document is ever constructed."""
    with pytest.raises(Unreadable) as caught:
        read_document(data, "x.yaml")
    assert says in str(caught.value)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text("ab:-?&*!|>'\"{}[],# \n\r\t%@~<", max_size=40)))
def test_a_text_is_yaml_or_refused(text: str) -> None:
    """Whatever a text is, it is read or refused; what is read without tags says what PyYAML says."""
    try:
        document = read_document(text.encode(), "x.yaml")
    except Unreadable:
        return
    if not any(each in text for each in "!<=0123456789"):
        assert document.value == yaml.load(text.removeprefix("\ufeff"), Loader=yaml.CSafeLoader)
