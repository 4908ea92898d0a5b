"""Pruning: the thread that takes out of the store what is older than the settings say, once an hour."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.settings import Settings
from outrider_collector.store.retention import Ages, Pruned, prune

EVERY_S: Final = 3600.0
FIRST_S: Final = 60.0
"""After a start there is more urgent work."""

log = logging.getLogger("outrider.collector")


def ages_of(settings: Settings) -> Ages:
    """How long the settings keep things."""
    return Ages(
        occurrences=settings.occurrence_days,
        batches=settings.batch_days,
        findings=settings.finding_days,
        audit=settings.audit_days,
    )


@contextlib.contextmanager
def start_pruning(
    engine: Engine, ages: Ages, *, clock_ns: Callable[[], int] = time.time_ns, first_s: float = FIRST_S
) -> Iterator[None]:
    """Prune beside what runs inside. Several collectors of one store may: each takes what it finds."""
    stop = threading.Event()
    thread = threading.Thread(target=_run, args=(engine, ages, clock_ns, stop, first_s), name="prune", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _run(engine: Engine, ages: Ages, clock_ns: Callable[[], int], stop: threading.Event, wait_s: float) -> None:
    while not stop.wait(wait_s):
        wait_s = EVERY_S
        try:
            pruned = prune(engine, ages, clock_ns(), stopped=stop.is_set)
        except SQLAlchemyError as error:
            log.error("the store cannot be pruned: %s", error)
        else:
            if pruned != Pruned():
                log.warning("too old and gone: %s", pruned)
