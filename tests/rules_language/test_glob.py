"""Shell patterns against Python's own fnmatch, and against patterns made to be slow."""

import fnmatch
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider_rules.glob import MAX_PATTERN, compile_glob

SIMPLE = st.text(alphabet="ab/.*?[]!-", max_size=12)
TEXTS = st.text(alphabet="ab/.-", max_size=16)


@settings(max_examples=500, deadline=None)
@given(SIMPLE, TEXTS)
def test_patterns_match_as_fnmatch_does(pattern: str, text: str) -> None:
    """For stars, question marks and brackets the answer is fnmatch's."""
    if "[!-" in pattern or "--" in pattern or "[-" in pattern:
        return  # a range that runs backwards is an error to some and empty to others
    low_first = all(pattern[n - 1] <= pattern[n + 1] for n in range(1, len(pattern) - 1) if pattern[n] == "-")
    if low_first:
        assert compile_glob(pattern)(text) is fnmatch.fnmatchcase(text, pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("/home/*/.ssh/*", "/home/a/b/.ssh/id", True),
        ("*../*../*", "/x/../../etc/passwd", True),
        ("[[:digit:]x]*", "7up", True),
        ("[^a]", "a", False),
        (r"\*", "*", True),
        (r"\*", "x", False),
        ("a[", "a[", True),
        ("", "", True),
        ("", "x", False),
    ],
)
def test_patterns(pattern: str, text: str, expected: bool) -> None:
    """Classes, escapes, and brackets that never end."""
    assert compile_glob(pattern)(text) is expected


@pytest.mark.parametrize("pattern", ["@(a|b)", "x*(a)", "a" * (MAX_PATTERN + 1)])
def test_patterns_that_are_refused(pattern: str) -> None:
    """Extended patterns and endless ones are errors, not something else by surprise."""
    with pytest.raises(ValueError, match="pattern"):
        compile_glob(pattern)


@pytest.mark.parametrize("pattern", ["*a" * 300 + "b", "*?a" * 200 + "b", "*[a]" * 200 + "b"])
def test_no_pattern_is_catastrophic(pattern: str) -> None:
    """A pattern of hundreds of stars on a text that almost matches is answered at once."""
    start = time.thread_time()
    assert compile_glob(pattern)("a" * 4096) is False
    assert time.thread_time() - start < 1.0
