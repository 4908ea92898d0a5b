"""Starting the lake: from the collector's settings to a process of its own, kept running."""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from outrider_collector.lake.child import LakeOrders, running_lake
from outrider_collector.settings import Settings
from outrider_collector.spool import Place
from outrider_wire.errors import ConfigError

PROGRESS: Final = "lake.position"
LOCK: Final = "lake.lock"


def lake_orders(settings: Settings, collector: str) -> LakeOrders | None:
    """What the lake's process is told; None where no lake is wanted. Raises ConfigError."""
    if not settings.lake:
        return None
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError("a lake needs pyarrow; install outrider[collector]")
    if settings.lake_flush_s <= 0 or settings.lake_flush_rows <= 0 or settings.lake_flush_bytes <= 0:
        raise ConfigError("lake_flush_s, lake_flush_rows and lake_flush_bytes must be more than 0")
    return LakeOrders(
        lake=settings.lake if "://" in settings.lake else str(Path(settings.lake).absolute()),
        spool=str((settings.data / "spool").absolute()),
        collector=collector,
        lock=str((settings.data / LOCK).absolute()),
        progress=str((settings.data / PROGRESS).absolute()),
        database=settings.database or str((settings.data / "outrider.sqlite").absolute()),
        endpoint=settings.lake_endpoint,
        region=settings.lake_region,
        keep_days=settings.lake_days,
        flush_s=settings.lake_flush_s,
        flush_rows=settings.lake_flush_rows,
        flush_bytes=settings.lake_flush_bytes,
    )


@contextlib.contextmanager
def start_lake(settings: Settings, collector: str) -> Iterator[None]:
    """The lake's process for as long as the context lasts, where a lake is wanted. Raises ConfigError."""
    orders = lake_orders(settings, collector)
    if orders is None:
        yield
        return
    with running_lake(orders):
        yield


def lake_reached(progress: Path) -> Place:
    """Up to where the spool is in the lake, as the lake's process left word; its beginning where there is no word."""
    try:
        return msgspec.json.decode(progress.read_bytes(), type=Place)
    except (FileNotFoundError, ValueError):
        return Place(0, 0)


def kept_in_lake(settings: Settings) -> Place | None:
    """Up to where the spool is in the lake: what is behind that must stay. None where no lake is wanted."""
    return lake_reached(settings.data / PROGRESS) if settings.lake else None
