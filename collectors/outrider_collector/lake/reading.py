"""Reading a lake on one machine: DuckDB over the files that can matter, and over nothing else.

Files are chosen by their paths (class, day, hour) before any is opened; row groups by their statistics. Somebody
else's SQL runs where nothing can be read but these files, nothing can be written, and no setting changed.
"""

from collections.abc import Sequence
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from outrider_collector.lake.classes import CLASSES, LakeClass
from outrider_collector.lake.layout import DAY_MS, HOUR_MS, ROOT, LakeFile, day_of, read_paths, standing
from outrider_collector.lake.nesting import nested_schema
from outrider_collector.lake.places import Lake, LocalLake, list_below
from outrider_wire.errors import ConfigError, Unavailable

MEMORY_LIMIT: Final = "1GB"

MAX_ROWS: Final = 1_000_000
"""Most rows of an answer."""

READ_ONLY: Final = (duckdb.StatementType.SELECT,)
"""Not EXPLAIN: EXPLAIN ANALYZE does what it explains."""


class Answer:
    """Rows of an answer and the names of their columns."""

    def __init__(self, names: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
        self.names, self.rows = tuple(names), rows

    def records(self) -> list[dict[str, Any]]:
        """The rows as objects."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


class Reading:
    """Views over the part of a lake between two times, in milliseconds. Raises Unavailable where it cannot be read."""

    def __init__(
        self, lake: Lake, since_ms: int, until_ms: int, *, classes: Sequence[LakeClass] = CLASSES, threads: int = 0
    ) -> None:
        self._connection = duckdb.connect(":memory:")
        try:
            allowed: list[str] = []
            for lake_class in classes:
                allowed += self._show(lake, lake_class, find_files(lake, lake_class, since_ms, until_ms))
        except OSError as error:
            raise Unavailable(f"the lake cannot be read: {error}") from error
        self._shut(allowed, threads)

    def ask(self, sql: str) -> Answer:
        """Answer one statement that only reads.

        Raises:
            ConfigError: it is none, or is not understood, or goes beyond what may be read.
        """
        try:
            statements = duckdb.extract_statements(sql)
            if len(statements) != 1 or statements[0].type not in READ_ONLY:
                raise ConfigError("one statement that only reads, please: a SELECT")
            cursor = self._connection.execute(statements[0])
            return Answer([column[0] for column in cursor.description or ()], cursor.fetchmany(MAX_ROWS))
        except duckdb.Error as error:
            raise ConfigError(f"the lake did not answer: {error}") from error

    def close(self) -> None:
        """Let go of the files."""
        self._connection.close()

    def _show(self, lake: Lake, lake_class: LakeClass, files: list[LakeFile]) -> list[str]:
        """Make the view of a class; the paths that it reads from disk."""
        paths = [f"{lake.root}/{file.path}" for file in files]
        if not paths:
            self._connection.register(lake_class.view, nested_schema(lake_class.columns).empty_table())
            return []
        if isinstance(lake, LocalLake):
            listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
            self._connection.execute(
                f"CREATE VIEW {lake_class.view} AS SELECT * FROM read_parquet([{listed}], hive_partitioning = false)"
            )
            return paths
        schema: pa.Schema = nested_schema(lake_class.columns)
        found = ds.dataset(paths, schema=schema, format="parquet", filesystem=lake.filesystem)
        self._connection.register(lake_class.view, found)
        return []

    def _shut(self, allowed: Sequence[str], threads: int) -> None:
        run = self._connection.execute
        run("SET python_enable_replacements = false")
        run("SET autoinstall_known_extensions = false")
        run("SET autoload_known_extensions = false")
        run(f"SET memory_limit = '{MEMORY_LIMIT}'")
        if threads:
            run(f"SET threads = {threads}")
        run("SET allowed_paths = ?", [list(allowed)])
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")


def find_files(lake: Lake, lake_class: LakeClass, since_ms: int, until_ms: int) -> list[LakeFile]:
    """The files of a class that may hold records of a span of time. Raises OSError."""
    first, last = day_of(since_ms), day_of(max(until_ms - 1, 0))
    found = []
    for region, _ in list_below(lake, f"{ROOT}/{lake_class.source}"):
        for account, _ in list_below(lake, region):
            for day, _ in list_below(lake, account):
                if first <= day.rpartition("=")[2] <= last:
                    found += [path for path, is_directory in list_below(lake, day) if not is_directory]
    return [file for file in standing(read_paths(found)) if since_ms - HOUR_MS < file.start_ms < until_ms]


def span_of_day(day_ms: int) -> tuple[int, int]:
    """The day a time is in."""
    start = day_ms // DAY_MS * DAY_MS
    return start, start + DAY_MS
