"""The stub name server answers every question with one address, and nothing else with anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_lab.names import answer_question


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(len(part).to_bytes(1, "big") + part.encode() for part in name.split("."))
    header = b"\x12\x34\x01\x00\x00\x01" + bytes(6)
    return header + labels + b"\x00" + kind.to_bytes(2, "big") + b"\x00\x01"


def test_an_address_is_given_for_any_name():
    """An A question gets its own id back, one answer, and an address of 192.0.2.0/24."""
    answer = answer_question(question("pool.example.org"))
    assert answer[:2] == b"\x12\x34"
    assert answer[6:8] == b"\x00\x01"
    assert answer[-4:-1] == b"\xc0\x00\x02"


def test_other_types_get_an_empty_answer():
    """An AAAA question is answered without a record, so that a resolver does not wait for one."""
    answer = answer_question(question("example.org", 28))
    assert answer[6:8] == b"\x00\x00"


def test_case_does_not_matter():
    """A name has one address however it is written."""
    assert answer_question(question("Example.ORG"))[-4:] == answer_question(question("example.org"))[-4:]


@given(st.binary(max_size=600))
def test_any_bytes_are_answered_or_refused(query: bytes):
    """Whatever arrives is answered, or refused with ValueError."""
    try:
        assert answer_question(query)[:2] == query[:2]
    except ValueError:
        pass


@pytest.mark.parametrize("query", [b"", b"\x00" * 12, question("a.b")[:-1], question("a.b")[:14]])
def test_cut_questions_are_refused(query: bytes):
    """A question that is cut short is refused."""
    with pytest.raises(ValueError):
        answer_question(query)
