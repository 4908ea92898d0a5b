"""Retention: days that are older than they need be are removed from the lake, ours alone, a directory at a time."""

import logging
from typing import Final

from outrider_collector.lake.classes import CLASSES
from outrider_collector.lake.layout import DAY_MS, ROOT, day_of
from outrider_collector.lake.places import Lake, list_below

EVERY_S: Final = 3600.0
"""How often to look."""

log = logging.getLogger("outrider.collector")


def expired_days(lake: Lake, now_ms: int, days: int) -> list[str]:
    """Directories of days that ended at least `days` days ago. Raises OSError."""
    kept_from = day_of(max(now_ms - days * DAY_MS, 0))
    return [
        path
        for lake_class in CLASSES
        for region, _ in list_below(lake, f"{ROOT}/{lake_class.source}")
        for account, _ in list_below(lake, region)
        for path, is_directory in list_below(lake, account)
        if is_directory and _day(path) and _day(path) < kept_from
    ]


def remove_expired(lake: Lake, now_ms: int, days: int) -> int:
    """Remove them; how many there were. Raises OSError."""
    expired = expired_days(lake, now_ms, days)
    for path in expired:
        lake.remove_tree(path)
    if expired:
        log.info("removed %d directories of days that are over %d days old from the lake", len(expired), days)
    return len(expired)


def _day(path: str) -> str:
    name, _, day = path.rpartition("/")[2].partition("=")
    return day if name == "eventDay" and len(day) == 8 and day.isdecimal() else ""
