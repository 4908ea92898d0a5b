"""The layout: where in the lake a file lies, and what its name says. Security Lake's, for custom sources.

    ext/outrider-process/region=eu-west-1/accountId=123456789012/eventDay=20260102/15-COLLECTOR-….parquet

Security Lake partitions by day; the hour (UTC) of all records of a file is the first two digits of its name, so that a
reader who wants an hour need not open the others. What follows the hour is the flush that wrote it: the collector's
name and the range of its spool. The same range makes the same names, so that writing again replaces. What a collector
found itself came in no spool: behind its name stands `.own`, and the range is of the store's numbers.

What the writer keeps for itself lies under `_outrider/`: readers of lakes pass over names that begin so.
"""

import re
from collections.abc import Iterable, Sequence
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
    r"/eventDay=(?P<day>\d{8})/(?P<hour>\d\d)-(?P<collector>[A-Za-z0-9_-]+(?:\.own)?)"
    r"-(?P<start>\d{8,}\.\d{10,})-(?P<end>\d{8,}\.\d{10,})\.parquet",
    re.ASCII,
)


class Partition(Struct, frozen=True, order=True):
    """Where records go: `hour` counts hours since the epoch."""

    region: str
    account: str
    hour: int


class LakeFile(Struct, frozen=True):
    """What a path says of its file. `start_ms` is the beginning of its hour, `first` and `last` the spool's range."""

    path: str
    source: str
    region: str
    account: str
    day: str
    start_ms: int
    collector: str
    first: Place
    last: Place

    @property
    def group(self) -> tuple[str, str, str, int, str]:
        """What files that may be merged have in common."""
        return self.source, self.region, self.account, self.start_ms, self.collector


def flush_name(collector: str, start: Place, end: Place) -> str:
    """The name of a flush: who wrote it, by a name that is safe, and of what range of which spool."""
    return f"{collector}-{start.file:08d}.{start.offset:010d}-{end.file:08d}.{end.offset:010d}"


def safe_name(collector: str) -> str:
    """A collector's name as it stands in names of files."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", collector)[:MAX_NAME]


def own_name(collector: str) -> str:
    """By what name a collector, of that safe name, brings in what it found itself: one that no collector has."""
    return f"{collector}.own"


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
    first, last = (Place(*map(int, match[end].split("."))) for end in ("start", "end"))
    return LakeFile(
        path,
        match["source"],
        match["region"],
        match["account"],
        match["day"],
        start_ms,
        match["collector"],
        first,
        last,
    )


def read_paths(paths: Iterable[str]) -> list[LakeFile]:
    """What the paths say that are of files of the lake; the others are somebody else's, or being written."""
    files = []
    for path in sorted(paths):
        try:
            files.append(read_path(path))
        except ValueError:
            continue
    return files


def standing(files: Sequence[LakeFile]) -> list[LakeFile]:
    """The files but for those whose records another one has too: it was merged of them, and they are about to go."""
    groups: dict[tuple[object, ...], list[LakeFile]] = {}
    for file in files:
        groups.setdefault(file.group, []).append(file)
    found = []
    for group in groups.values():
        reached = Place(-1, 0)
        for file in sorted(group, key=lambda each: (each.first, (-each.last.file, -each.last.offset))):
            if file.last > reached:
                found.append(file)
                reached = file.last
    return found


def day_of(at_ms: int) -> str:
    """The day of a time, as partitions name it."""
    return f"{_EPOCH + timedelta(milliseconds=at_ms):%Y%m%d}"


def record_path(collector: str) -> str:
    """Where the writer of that safe name notes how far it has come."""
    return f"{CONTROL}/{collector}/commit.json"
