"""Files as OCSF's class 1001, and libraries as 1005."""

import stat
from collections.abc import Sequence
from typing import Any, Final

import pyarrow.compute as pc

from outrider_collector.lake.columns import (
    Flat,
    Told,
    about,
    actor_columns,
    base_columns,
    file_columns,
    ints,
    longs,
    millis,
    of_each,
    texts,
)

ACTIVITIES: Final = {
    "created": 1,
    "written": 3,
    "moved_in": 5,
    "moved_out": 5,
    "deleted": 4,
    "attributes": 6,
    "linked": 1,
    "found": 3,
    "opened": 14,
}
"""OCSF's Create, Update, Rename, Rename, Delete, Set Attributes, Create, Update, Open."""

LOAD_STANDARD: Final = 1
LOAD_ORDERED: Final = 2
"""OCSF's Non Standard: by LD_PRELOAD and the like."""

_TYPES: Final = {stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFBLK: 4, stat.S_IFSOCK: 5,
                 stat.S_IFIFO: 6, stat.S_IFLNK: 7}  # fmt: skip


def map_changed(told: Told) -> Flat:
    """FileChanged, by the process that did it where that is known. `unmapped.name` is the change."""
    events = told.events
    columns = base_columns(
        told,
        activity=[ACTIVITIES.get(event.change, 99) for event in events],
        message=[f"{event.change} {event.file.path}" for event in events],
    )
    columns["unmapped.name"] = texts([event.change for event in events])
    files = [event.file for event in events]
    return columns | about(told) | actor_columns(told) | _file("file", files)


def map_loaded(told: Told) -> Flat:
    """LibraryLoaded, by the process that has it mapped."""
    events = told.events
    columns = base_columns(
        told,
        activity=1,
        message=[f"{event.how} {event.library.path}" for event in events],
    )
    columns["module.load_type_id"] = ints(
        [LOAD_STANDARD if event.how == "mapped" else LOAD_ORDERED for event in events]
    )
    columns["module.type"] = texts([event.how for event in events])
    files = [event.library for event in events]
    return columns | about(told) | actor_columns(told) | _file("module.file", files)


def map_hashed(told: Told) -> Flat:
    """FileHashed, by the process that runs the file. `unmapped.name` has the digests."""
    events = told.events
    digests = [" ".join(f"{name}:{value}" for name, value in sorted(event.digests.items())) for event in events]
    columns = base_columns(told, activity=99, message=[f"new file executed {event.file.path}" for event in events])
    columns["unmapped.name"] = texts(digests)
    return columns | about(told) | actor_columns(told) | _file("file", [event.file for event in events])


def _file(prefix: str, files: Sequence[Any]) -> Flat:
    """An object `file`; one without a path, which OCSF would not take, is called unknown."""
    paths = texts([file.path or "unknown" for file in files])
    kinds = ints([_TYPES.get(file.mode & 0o170000, 0) if file.mode > 0 else 0 for file in files])
    columns = file_columns(prefix, paths, kinds)
    columns[f"{prefix}.parent_folder"] = of_each(
        paths, lambda values: pc.replace_substring_regex(values, r"(?s)/[^/]*$", "")
    )
    columns[f"{prefix}.size"] = longs([file.size if file.mode else None for file in files])
    columns[f"{prefix}.modified_time"] = millis([file.mtime_ns or None for file in files])
    return columns
