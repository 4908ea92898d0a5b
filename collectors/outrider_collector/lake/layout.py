"""The layout: where in the lake a file lies, and what its name says. Security Lake's, for custom sources.

    ext/outrider-process/region=eu-west-1/accountId=123456789012/eventDay=20260102/15-COLLECTOR-….parquet

Security Lake partitions by day; the hour (UTC) of all records of a file is the first two digits of its name, so that a
reader who wants an hour need not open the others. What follows the hour is the flush that wrote it: the collector's
name and the range of its spool. The same range makes the same names, so that writing again replaces.

What the writer keeps for itself lies under `_outrider/`: readers of lakes pass over names that begin so.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from outrider_collector.lake.classes import LakeClass
from outrider_collector.spool import Place

ROOT: Final = "ext"
CONTROL: Final = "_outrider"
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

MAX_NAME: Final = 64
"""Longest part of a file's name that names its collector."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FILE = re.compile(
    rf"{ROOT}/(?P<source>[a-z-]+)/region=(?P<region>[^/]+)/accountId=(?P<account>\d{{12}})"
    r"/eventDay=(?P<day>\d{8})/(?P<hour>\d\d)-(?P<flush>[^/]+)\.parquet",
    re.ASCII,
)


class Partition(Struct, frozen=True, order=True):
    """Where records go: `hour` counts hours since the epoch."""

    region: str
    account: str
    hour: int


class LakeFile(Struct, frozen=True):
    """What a path says of its file. `start_ms` is the beginning of its hour."""

    path: str
    source: str
    region: str
    account: str
    day: str
    start_ms: int


def flush_name(collector: str, start: Place, end: Place) -> str:
    """The name of a flush: who wrote it, and of what range of which spool."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "-", collector)[:MAX_NAME]
    return f"{safe}-{start.file:08d}.{start.offset:010d}-{end.file:08d}.{end.offset:010d}"


def path_of(lake_class: LakeClass, partition: Partition, flush: str) -> str:
    """The path of the file that a flush writes for a class and partition."""
    at = _EPOCH + timedelta(hours=partition.hour)
    where = f"region={partition.region}/accountId={partition.account}/eventDay={at:%Y%m%d}"
    return f"{ROOT}/{lake_class.source}/{where}/{at:%H}-{flush}.parquet"


def read_path(path: str) -> LakeFile:
    """What a path in the lake says. Raises ValueError where it is none of a file of the lake."""
    match = _FILE.fullmatch(path)
    if match is None:
        raise ValueError(f"no file of the lake: {path[-120:]!r}")
    start = datetime.strptime(match["day"] + match["hour"], "%Y%m%d%H").replace(tzinfo=UTC)
    start_ms = int((start - _EPOCH) / timedelta(milliseconds=1))
    return LakeFile(path, match["source"], match["region"], match["account"], match["day"], start_ms)


def day_of(at_ms: int) -> str:
    """The day of a time, as partitions name it."""
    return f"{_EPOCH + timedelta(milliseconds=at_ms):%Y%m%d}"


def record_path(collector: str) -> str:
    """Where a collector's writer notes how far it has come."""
    return f"{CONTROL}/{re.sub(r'[^A-Za-z0-9_-]', '-', collector)[:MAX_NAME]}/commit.json"
