"""Merging: the small files that one hour leaves behind become one, so that a day is not a thousand files to open.

A quiet collector writes a file of each class every few minutes, for whoever looks at what happened just now. Once the
hour is over they are merged: the record says so first, the merged file is put, and then the small ones are removed. Its
name says the range of all of them, so a reader of ours who sees both passes over the small ones. Whoever lists the
directory alone may see a record twice in the moment between.
"""

from collections.abc import Iterator
from typing import Final

from outrider_collector.lake.classes import CLASSES, LakeClass
from outrider_collector.lake.layout import (
    DAY_MS,
    HOUR_MS,
    ROOT,
    LakeFile,
    Partition,
    day_of,
    flush_name,
    own_name,
    path_of,
    read_path,
    read_paths,
    standing,
)
from outrider_collector.lake.parquet import merge
from outrider_collector.lake.places import Lake, list_below, list_files
from outrider_collector.lake.record import Merge

SETTLED_MS: Final = HOUR_MS + 900_000
"""How long after its beginning an hour is merged: most of what comes late has come."""

SMALL_BYTES: Final = 4 << 20
MOST_BYTES: Final = 32 << 20
"""Files under the one size are merged, up to the other altogether: what is as big as that is well as it is."""

EVERY_S: Final = 600.0


def find_merges(lake: Lake, collector: str, now_ms: int, *, days: int = 2) -> Iterator[Merge]:
    """What may be merged in the last days of the files of a collector, by its safe name. Raises OSError."""
    names = (collector, own_name(collector))
    wanted = {day_of(max(now_ms - number * DAY_MS, 0)) for number in range(days)}
    for lake_class in CLASSES:
        for day in _days(lake, lake_class):
            if day.rpartition("=")[2] in wanted:
                yield from _merges_of_day(lake, lake_class, day, names, now_ms)


def do_merge(lake: Lake, planned: Merge) -> bool:
    """Do it, or end it where it was begun; whether anything changed. Raises OSError."""
    files = [lake.read(path) for path in planned.sources]
    whole = [file for file in files if file is not None]
    if len(whole) == len(files):
        lake_class = next(each for each in CLASSES if each.source == read_path(planned.target).source)
        merged = merge(lake_class, whole)
        if merged is None:
            return False
        lake.put(planned.target, merged)
    for path in planned.sources:  # where one is gone already, the merged file was there before it went
        lake.remove(path)
    return True


def _days(lake: Lake, lake_class: LakeClass) -> Iterator[str]:
    for region, _ in list_below(lake, f"{ROOT}/{lake_class.source}"):
        for account, _ in list_below(lake, region):
            for day, _ in list_below(lake, account):
                yield day


def _merges_of_day(lake: Lake, lake_class: LakeClass, day: str, names: tuple[str, ...], now_ms: int) -> Iterator[Merge]:
    sizes = dict(list_files(lake, day))
    hours: dict[tuple[int, str], list[LakeFile]] = {}
    for file in standing(read_paths(sizes)):
        if file.collector in names and now_ms - file.start_ms >= SETTLED_MS:
            hours.setdefault((file.start_ms, file.collector), []).append(file)
    for (hour_ms, name), files in sorted(hours.items()):
        for few in _bins(sorted(files, key=lambda each: each.first), sizes):
            flush = flush_name(name, few[0].first, few[-1].last)
            partition = Partition(few[0].region, few[0].account, hour_ms // HOUR_MS)
            yield Merge(path_of(lake_class, partition, flush), tuple(file.path for file in few))


def _bins(files: list[LakeFile], sizes: dict[str, int]) -> Iterator[list[LakeFile]]:
    """Two or more small files that follow each other, as many as may become one.

    A big file ends a bin: the merged file's range would take it in, and readers would pass over it.
    """
    taken: list[LakeFile] = []
    for file in files:
        small = sizes[file.path] < SMALL_BYTES
        if taken and (not small or sum(sizes[each.path] for each in [*taken, file]) > MOST_BYTES):
            if len(taken) > 1:
                yield taken
            taken = []
        if small:
            taken.append(file)
    if len(taken) > 1:
        yield taken
