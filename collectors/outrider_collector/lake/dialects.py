"""Dialects: the little in which DuckDB, Trino (and so Athena) and Spark differ, as far as our queries go."""

from typing import Final, Literal

from msgspec import Struct

from outrider_collector.lake.classes import CLASSES

Escape = Literal["double", "backslash"]


class Dialect(Struct, frozen=True):
    """How an engine wants its SQL.

    `partitions`: whether eventDay is a column that must be named for files to be passed over; DuckDB is given only
    the files that matter. `tables` names the tables by our views' names.
    """

    name: str
    escape: Escape
    partitions: bool
    tables: dict[str, str] = {}

    def table(self, view: str) -> str:
        """What a view is called there."""
        return self.tables.get(view, view)

    def quote(self, text: str) -> str:
        """A text as a literal, whatever is in it. NUL, which no engine takes, is left out."""
        text = text.replace("\0", "")
        doubled = text.replace("'", "''")
        return f"'{_backslashed(text) if self.escape == 'backslash' else doubled}'"

    def contains(self, column: str, text: str) -> str:
        """Whether a column has a text in it, in the same case."""
        return self.like(column, f"%{_plain(text)}%")

    def ends(self, column: str, text: str) -> str:
        """Whether a column ends with a text."""
        return self.like(column, f"%{_plain(text)}")

    def like(self, column: str, pattern: str) -> str:
        """A match of a pattern in which `!` makes the next character plain."""
        return f"{column} LIKE {self.quote(pattern)} ESCAPE '!'"


def _backslashed(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _plain(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


DUCKDB: Final = Dialect("duckdb", "double", partitions=False)

SPARK: Final = Dialect("spark", "backslash", partitions=True)

ATHENA: Final = Dialect(
    "athena", "double", partitions=True, tables={each.view: each.source.replace("-", "_") for each in CLASSES}
)
"""Trino, by Athena's name: give the tables of your own catalogue by `tables`."""

TRINO: Final = Dialect("trino", "double", partitions=True, tables=ATHENA.tables)

DIALECTS: Final = {each.name: each for each in (DUCKDB, SPARK, ATHENA, TRINO)}
