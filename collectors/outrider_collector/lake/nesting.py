"""Nesting: flat columns named by path, to the nested structs of OCSF.

An object is null where all in it is null: so a record holds no empty objects, whatever was unknown.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Tree = dict[str, Any]
"""A name to an array, or to a tree of the same."""


def nest(columns: Mapping[str, pa.Array]) -> pa.Table:
    """One table out of columns that are all as long. Raises pyarrow's ArrowInvalid where they are not."""
    tree: Tree = {}
    for path, column in columns.items():
        *objects, leaf = path.split(".")
        branch = tree
        for name in objects:
            branch = branch.setdefault(name, {})
        branch[leaf] = column
    return pa.table({name: _grow(branch) for name, branch in tree.items()})


def nested_schema(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    """The schema that `nest` gives such columns."""
    return nest({path: pa.array([], kind) for path, kind in columns.items()}).schema


def _grow(branch: Any) -> pa.Array:
    if not isinstance(branch, dict):
        return branch
    children = {name: _grow(child) for name, child in branch.items()}
    nothing = reduce(pc.and_, (pc.is_null(child) for child in children.values()))
    return pa.StructArray.from_arrays(list(children.values()), names=list(children), mask=nothing)


def prune(value: Any) -> Any:
    """A record as OCSF means it: without what is null."""
    if isinstance(value, dict):
        return {name: prune(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [prune(inner) for inner in value]
    return value
