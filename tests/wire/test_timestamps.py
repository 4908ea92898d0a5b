"""Times: no digit is lost, no text breaks the reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_wire.timestamps import MAX_AT_NS, from_rfc3339, to_rfc3339


@given(st.integers(0, MAX_AT_NS))
def test_a_time_comes_back_to_the_nanosecond(at_ns: int) -> None:
    """Writing and reading are each other's inverse."""
    assert from_rfc3339(to_rfc3339(at_ns)) == at_ns


@given(st.integers())
def test_any_number_is_shown(at_ns: int) -> None:
    """Times out of range are clamped, never raised for."""
    assert to_rfc3339(at_ns).endswith("Z") and len(to_rfc3339(at_ns)) == 30


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T01:00:00.5+01:00", 500_000_000),
        ("2026-01-01t00:00:00.123456789z", 1_767_225_600_123_456_789),
    ],
)
def test_other_spellings_are_read(text: str, at_ns: int) -> None:
    """Offsets, short fractions and lower case are RFC 3339 too."""
    assert from_rfc3339(text) == at_ns


@given(st.text(max_size=40) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", fullmatch=True))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    """There is no third way."""
    try:
        assert from_rfc3339(text) >= 0
    except ValueError:
        pass
