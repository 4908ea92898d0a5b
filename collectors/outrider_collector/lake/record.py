"""The record: how far a lake has followed one collector's spool, kept in the lake itself.

Before a flush writes its first file the record says what it is about to write; after the last one that it is done.
Whoever finds a plan that was not done makes the very same flush again: the same range of the spool, so the same
names, and files that are there already are replaced by their like. So a death at any moment doubles nothing.
"""

from typing import Final

import msgspec
from msgspec import Struct

from outrider_collector.lake.layout import record_path
from outrider_collector.lake.places import Lake
from outrider_collector.spool import Place

VERSION: Final = 1


class Plan(Struct, frozen=True):
    """A flush that was begun: it takes the spool from the record's position up to `end`, into `files`."""

    end: Place
    files: tuple[str, ...]


class Merge(Struct, frozen=True):
    """Small files of one hour that become one, and go when it is there."""

    target: str
    sources: tuple[str, ...]


class Record(Struct, frozen=True):
    """Up to `position` the spool is in the lake."""

    position: Place = Place(0, 0)
    plan: Plan | None = None
    merge: Merge | None = None
    version: int = VERSION


def load_record(lake: Lake, collector: str) -> Record:
    """A collector's record; one that begins where there is none.

    Raises:
        OSError: the lake cannot be read. ValueError: what is there is no record that this version can read.
    """
    raw = lake.read(record_path(collector))
    if raw is None:
        return Record()
    record = msgspec.json.decode(raw, type=Record)
    if record.version != VERSION:
        raise ValueError(f"the lake's record is of version {record.version}; this collector writes version {VERSION}")
    return record


def save_record(lake: Lake, collector: str, record: Record) -> None:
    """Put it in the place of the one before. Raises OSError."""
    lake.put(record_path(collector), msgspec.json.encode(record))
