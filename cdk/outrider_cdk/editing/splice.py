"""Changes to a text by the places they are made at; all that no change names stays as it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True, order=True)
class Splice:
    """text[start:end] becomes `text`. With start == end it is put in between."""

    start: int
    end: int
    text: str


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """The text with all of the changes made. Raises ValueError where two of them overlap."""
    ordered = sorted(splices)
    if any(one.end > other.start for one, other in pairwise(ordered)):
        raise ValueError("changes overlap")
    parts: list[str] = []
    at = 0
    for each in ordered:
        parts += [text[at : each.start], each.text]
        at = each.end
    return "".join([*parts, text[at:]])


def newline_of(text: str) -> str:
    """The line end of a document: that of its first line."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def end_of_line(text: str, at: int) -> int:
    """Where the line of a character ends, before its line end."""
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if end > at and text[end - 1] == "\r" else end


def start_of_line(text: str, at: int) -> int:
    """Where the line of a character begins."""
    return text.rfind("\n", 0, at) + 1


def line_break_before(text: str, at: int) -> int:
    """Where the line end before the line of a character begins: `\\r\\n` counts as one. 0 for the first line."""
    start = start_of_line(text, at)
    if start == 0:
        return 0
    return start - 2 if text[start - 2 : start] == "\r\n" else start - 1


def indentation(text: str, at: int) -> str:
    """The white space that the line of a character begins with."""
    start = start_of_line(text, at)
    end = start
    while text[end : end + 1] in (" ", "\t"):
        end += 1
    return text[start:end]
