"""Text for Markdown: one line, and harmless within a table."""

from collections.abc import Iterable, Sequence

MADE_BY = "<!-- Made by `make docs` from the code; a change here is lost. -->"


def one_line(text: str) -> str:
    """Text without line breaks or runs of blanks."""
    return " ".join(text.split())


def cell(text: str) -> str:
    """Text for one cell of a table."""
    return one_line(text).replace("|", "\\|")


def page(*parts: str) -> str:
    """Parts of a page, one blank line between each two."""
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells may hold Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell(text) for text in line)} |" for line in lines) + "\n"
