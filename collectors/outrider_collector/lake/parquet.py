"""Parquet files of the lake: rows of one task together, by time within that, in bounded groups and pages.

A row group is of one task, or of several that are small; its statistics say which, so that whoever asks for a task's
day reads little else. Within a row group rows are sorted by time, as Security Lake wants them; a file of one row group,
which most are, is sorted by time altogether.
"""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from outrider_collector.lake.classes import LakeClass
from outrider_collector.lake.finishing import OriginColumns, finish
from outrider_collector.lake.nesting import nest, nested_schema

MIN_GROUP_ROWS: Final = 16_384
"""A task with as many rows in a file has a row group of its own; smaller ones share."""

MAX_GROUP_ROWS: Final = 131_072
"""Longest row group: with 64 KiB of raw record at most, and a few hundred bytes as a rule, far below 256 MB."""

PAGE_BYTES: Final = 256 << 10
MAX_PAGE_BYTES: Final = 1 << 20
"""Longest data page, uncompressed, that Security Lake takes."""

STATISTICS: Final = (
    "time",
    "activity_id",
    "severity_id",
    "metadata.event_code",
    "device.container.uid",
    "device.container.name",
    "unmapped.at_ns",
    "unmapped.task_arn",
    "unmapped.pid",
    "unmapped.name",
    "finding_info.uid",
)
"""Columns with a least and a greatest value for each row group; of all others they would only make footers long."""

UNREPEATED: Final = frozenset(("raw_data", "metadata.uid", "unmapped.at_ns", "time", "finding_info.uid"))
"""Columns without a dictionary: hardly a value comes twice."""


def cluster(tasks: pa.Array, times: Any) -> tuple[pa.Array, list[int]]:
    """The order of rows in their file, by their tasks and times, and how many are in each of its row groups."""
    found = pc.value_counts(tasks)
    values, counts = found.field("values"), found.field("counts").to_pylist()
    order = pc.sort_indices(values).to_pylist()
    sizes: list[int] = []
    group_of = [0] * len(order)
    open_group = False
    for place in order:
        alone = counts[place] >= MIN_GROUP_ROWS
        if alone or not open_group or sizes[-1] >= MIN_GROUP_ROWS:
            sizes.append(0)
        open_group = not alone
        sizes[-1] += counts[place]
        group_of[place] = len(sizes) - 1
    if len(sizes) == 1:
        return pc.sort_indices(times), sizes
    groups = pa.array(group_of, pa.int32()).take(pc.index_in(tasks, values))
    keys = pa.table({"group": groups, "time": times})
    return pc.sort_indices(keys, [("group", "ascending"), ("time", "ascending")]), sizes


def encode(lake_class: LakeClass, rows: pa.Table, chosen: pa.Array, origins: OriginColumns) -> pa.Buffer:
    """The file of some unfinished rows, by their numbers. They are copied once, in the order that they are to have."""
    tasks = origins.columns["task_arn"].take(rows.column("origin").take(chosen).combine_chunks())
    order, sizes = cluster(tasks, rows.column("time").take(chosen))
    return _write(lake_class, nest(finish(lake_class, rows.take(chosen.take(order)), origins)), sizes)


def merge(lake_class: LakeClass, files: Sequence[bytes]) -> pa.Buffer | None:
    """One file of several; None where they are of another version, whose columns are not the same."""
    tables = [pq.read_table(pa.BufferReader(file)) for file in files]
    if any(table.schema != nested_schema(lake_class.columns) for table in tables):
        return None
    table = pa.concat_tables(tables)
    tasks = pc.struct_field(table.column("unmapped"), "task_arn").combine_chunks()
    indices, sizes = cluster(tasks, table.column("time"))
    return _write(lake_class, table.take(indices), sizes)


def _write(lake_class: LakeClass, table: pa.Table, sizes: Sequence[int]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **_options(lake_class, table)) as writer:
        at = 0
        for size in sizes:
            writer.write_table(table.slice(at, size), row_group_size=MAX_GROUP_ROWS)
            at += size
    return sink.getvalue()


def _options(lake_class: LakeClass, rows: pa.Table) -> dict[str, Any]:
    longest = pc.max(pc.binary_length(rows.column("raw_data"))).as_py() or 1
    return {
        "compression": "zstd",
        "compression_level": 1,
        "data_page_size": PAGE_BYTES,
        "dictionary_pagesize_limit": PAGE_BYTES,
        # a page ends only between write batches: these must not be longer than what is left of the longest page
        "write_batch_size": max(1, min(1024, (MAX_PAGE_BYTES - PAGE_BYTES) // (longest + 8))),
        "use_dictionary": [_leaf(path, kind) for path, kind in lake_class.columns.items() if path not in UNREPEATED],
        "write_statistics": [path for path in STATISTICS if path in lake_class.columns],
        "store_schema": False,
    }


def _leaf(path: str, kind: pa.DataType) -> str:
    """The Parquet path of a column; a list's items lie two steps below it."""
    return f"{path}.list.element" if pa.types.is_list(kind) and not pa.types.is_struct(kind.value_type) else path
