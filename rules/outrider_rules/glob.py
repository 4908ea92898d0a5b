"""Shell patterns, matched without backtracking over stars.

A pattern is cut at its stars into runs; each run in turn is looked for at its first place behind the one before,
which is right because a star may swallow anything. The cost is at most the length of the pattern times that of the
text, whatever either holds. `*` and `?` match `/` too, as in Falco (fnmatch(3) without FNM_PATHNAME). Extended
patterns such as `@(a|b)` are refused: they would need a search.
"""

import re
from collections.abc import Callable
from typing import Final

MAX_PATTERN: Final = 1024
"""Longest pattern, in characters."""

Single = Callable[[str], bool]
_EXTENDED = re.compile(r"[?*+@!]\(")
_CLASSES: Final[dict[str, Single]] = {
    "alpha": str.isalpha,
    "digit": lambda c: c in "0123456789",
    "alnum": str.isalnum,
    "upper": str.isupper,
    "lower": str.islower,
    "space": str.isspace,
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
    "punct": lambda c: "!" <= c <= "~" and not c.isalnum(),
}


def compile_glob(pattern: str, *, ignore_case: bool = False) -> Callable[[str], bool]:
    """A function that says whether a whole text matches.

    Raises: ValueError for a pattern that is too long or extended.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern of more than {MAX_PATTERN} characters")
    if _EXTENDED.search(pattern):
        raise ValueError("extended patterns such as `@(a|b)` are not supported")
    runs = _cut(pattern.lower() if ignore_case else pattern)
    first, middle, last = runs[0], runs[1:-1], runs[-1]

    def matches(text: str) -> bool:
        if ignore_case:
            text = text.lower()
        if len(runs) == 1:
            return len(text) == len(first) and _at(first, text, 0)
        end = len(text) - len(last)
        if end < len(first) or not _at(first, text, 0) or not _at(last, text, end):
            return False
        position = len(first)
        for run in middle:
            position = _find(run, text, position, end)
            if position < 0:
                return False
        return True

    return matches


class _Run(list[str | Single]):
    """What stands between two stars: single characters, and functions for `?` and `[…]`."""

    literal: str | None = None


def _cut(pattern: str) -> list[_Run]:
    runs = [_Run()]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            runs.append(_Run())
        elif character == "?":
            runs[-1].append(_anything)
        elif character == "[" and (bracket := _bracket(pattern, position)) is not None:
            single, position = bracket
            runs[-1].append(single)
        elif character == "\\" and position < len(pattern):
            runs[-1].append(pattern[position])
            position += 1
        else:
            runs[-1].append(character)
    for run in runs:
        plain = [part for part in run if isinstance(part, str)]
        run.literal = "".join(plain) if len(plain) == len(run) else None
    return runs


def _anything(_character: str) -> bool:
    return True


def _bracket(pattern: str, position: int) -> tuple[Single, int] | None:
    """The test that a `[…]` makes, and where it ends; None when it never ends (then `[` is itself)."""
    negated = pattern[position : position + 1] in ("!", "^") and position < len(pattern)
    position += negated
    singles: set[str] = set()
    ranges: list[tuple[str, str]] = []
    classes: list[Single] = []
    start = position
    while position < len(pattern) and (pattern[position] != "]" or position == start):
        named = re.compile(r"\[:([a-z]{1,8}):\]").match(pattern, position)
        if named is not None and named.group(1) in _CLASSES:
            classes.append(_CLASSES[named.group(1)])
            position = named.end()
            continue
        if pattern[position] == "\\" and position + 1 < len(pattern):
            position += 1
        low = pattern[position]
        if pattern[position + 1 : position + 2] == "-" and pattern[position + 2 : position + 3] not in ("", "]"):
            ranges.append((low, pattern[position + 2]))
            position += 3
        else:
            singles.add(low)
            position += 1
    if position >= len(pattern):
        return None

    def holds(character: str) -> bool:
        found = (
            character in singles
            or any(low <= character <= high for low, high in ranges)
            or any(test(character) for test in classes)
        )
        return found != negated

    return holds, position + 1


def _at(run: _Run, text: str, position: int) -> bool:
    """Whether a run matches at a position; there are enough characters behind it."""
    if run.literal is not None:
        return text.startswith(run.literal, position)
    for offset, part in enumerate(run):
        character = text[position + offset]
        if character != part if isinstance(part, str) else not part(character):
            return False
    return True


def _find(run: _Run, text: str, start: int, end: int) -> int:
    """The position behind the first match of a run in text[start:end], or -1."""
    if run.literal is not None:
        found = text.find(run.literal, start, end)
        return -1 if found < 0 else found + len(run)
    for position in range(start, end - len(run) + 1):
        if _at(run, text, position):
            return position + len(run)
    return -1
