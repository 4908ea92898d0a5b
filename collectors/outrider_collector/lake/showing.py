"""How answers of the lake are shown to a person: hostile text escaped at this one exit."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from outrider_collector.lake.reading import Answer
from outrider_collector.lake.tree import Process
from outrider_wire.text import printable
from outrider_wire.timestamps import to_rfc3339

MAX_CELL: Final = 80


def timeline(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each record: when, what, who, and in words."""
    for record in records:
        at = to_rfc3339(record["at_ns"] or 0)[:23]
        who = f"{record['program'] or ''}({'' if record['pid'] is None else record['pid']})"
        where = record["container"] or ""
        words = " ".join(str(record["message"] or "").split())
        yield printable(f"{at}  {record['event']:<16} {where:<12} {who:<20} {_cut(words, 300)}")


def answer_table(answer: Answer, *, width: int) -> str:
    """Rows under the names of their columns."""
    cells = [[_cell(value) for value in row] for row in answer.rows]
    widths = [max(map(len, column)) for column in zip(answer.names, *cells, strict=True)]
    lines = [
        "  ".join(text.ljust(size) for text, size in zip(row, widths, strict=True)) for row in [answer.names, *cells]
    ]
    return "\n".join(line.rstrip()[:width] for line in lines)


def tree_lines(process: Process, indent: int = 0) -> Iterator[str]:
    """A tree, each process under its parent; the one in question is marked."""
    mark = "→ " if process.marked else "  "
    ended = "" if process.exit_code is None else f"  [exit {process.exit_code}]"
    began = to_rfc3339(process.started_at_ns)[11:23] if process.started_at_ns else " " * 12
    words = _cut(" ".join((process.command or process.path or "?").split()), 200)
    yield printable(f"{began} {mark}{'  ' * indent}{process.pid if process.pid is not None else '?'} {words}{ended}")
    for child in process.children:
        yield from tree_lines(child, indent + 1)


def _cell(value: Any) -> str:
    return printable(_cut("" if value is None else str(value), MAX_CELL))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
