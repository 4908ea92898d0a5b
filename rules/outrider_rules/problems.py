"""What is wrong with a rule file, and where: printed as a good compiler prints it."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

SHOWN_WIDTH = 120
"""Most characters of a source line that are shown around the place of a problem."""


class Problem(Struct, frozen=True, gc=False):
    """One thing that is wrong. `line` and `column` count from 1; `source_line` is empty where there is none.

    `hint` says what was expected, or which known name is nearest.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    source_line: str = ""

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}:{self.column}: error: {self.message}"
        if not self.source_line.strip():
            return f"{head}\n    {self.hint}" if self.hint else head
        shown, caret = _window(self.source_line, self.column)
        gutter = " " * len(str(self.line))
        tail = f" {self.hint}" if self.hint else ""
        return f"{head}\n  {self.line} | {shown}\n  {gutter} | {' ' * caret}^{tail}"


class RulesError(Exception):
    """Nothing was loaded: every problem found is in `problems`, in the order of files and lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names what was probably meant, or an empty text."""
    from difflib import get_close_matches

    found = get_close_matches(name[:64], list(known), n=1, cutoff=0.6)
    return f"did you mean `{found[0]}`?" if found else ""


def shown(text: str, limit: int = 60) -> str:
    """A piece of the author's text inside a message: one line, bounded."""
    flat = "".join(c if c.isprintable() else " " for c in text)
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _window(line: str, column: int) -> tuple[str, int]:
    """The part of a line around a column, unprintable characters blanked, and where the caret goes in it."""
    start = max(0, column - 1 - SHOWN_WIDTH * 2 // 3) if len(line) > SHOWN_WIDTH else 0
    part = "".join(c if c.isprintable() else " " for c in line[start : start + SHOWN_WIDTH])
    lead = "…" if start else ""
    return lead + part, min(max(column - 1 - start, 0), len(part)) + len(lead)
