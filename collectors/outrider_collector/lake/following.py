"""Following: the loop of the lake's own process, from the spool to the lake, until it is told to stop.

It has its own position, so a lake that is slow or away holds nobody up; nothing is lost meanwhile, for the spool keeps
what the lake has not yet taken. When the lake refuses, the flush is tried again as it was planned.
"""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Final

import msgspec

from outrider_collector.lake import merging
from outrider_collector.lake.layout import safe_name
from outrider_collector.lake.own import OwnFindings
from outrider_collector.lake.places import Lake
from outrider_collector.lake.record import Merge, load_record
from outrider_collector.lake.retention import EVERY_S, remove_expired
from outrider_collector.lake.writer import LakeWriter, Limits
from outrider_collector.spool import Frame, Place, Spool

GROUP: Final = 64
"""Batches that are judged at once."""

POLL_S: Final = 0.25
RETRY_S: Final = 5.0

Judge = Callable[[Sequence[Frame]], list[tuple[Frame, bool]]]
"""The first of these frames, as many as are judged yet, each with whether it counts. Raises OSError."""

log = logging.getLogger("outrider.collector")


class Follower:
    """Brings a spool into a lake. `run` until the event is set."""

    def __init__(
        self,
        lake: Lake,
        spool: Path,
        collector: str,
        judge: Judge,
        *,
        limits: Limits | None = None,
        keep_days: int = 0,
        progress: Path | None = None,
        own: OwnFindings | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._lake, self._spool, self._collector, self._judge = lake, spool, safe_name(collector), judge
        self._own = own
        self._limits, self._keep_days, self._progress, self._clock_ns = limits, keep_days, progress, clock_ns
        self._tail = Tail(spool)
        self._swept_s = -EVERY_S
        self._merged_s = -merging.EVERY_S
        self._merges: Iterator[Merge] | None = None

    def run(self, stop: Event) -> None:
        """Follow until told to stop, then flush what was taken. Raises ValueError: the record cannot be read."""
        writer = self._opened(stop)
        while writer is not None and not stop.is_set():
            try:
                idle = not self._step(writer)
                self._step_own()
                self._sweep()
                self._merge(writer)
            except OSError as error:
                log.error("the lake cannot be written: %s", error)
                stop.wait(RETRY_S)
            else:
                if idle:
                    stop.wait(POLL_S)
        if writer is not None:
            try:
                writer.flush()
                self._tell(writer)
                self._finish_own()
            except OSError as error:
                log.error("the lake cannot be written, what it lacks is in the spool: %s", error)

    def catch_up(self) -> LakeWriter:
        """Take and flush all that is judged and spooled by now. Raises OSError."""
        writer = self._open()
        while self._step(writer):
            pass
        writer.flush()
        self._tell(writer)
        self._finish_own()
        return writer

    def _opened(self, stop: Event) -> LakeWriter | None:
        while not stop.is_set():
            try:
                return self._open()
            except OSError as error:
                log.error("the lake cannot be read: %s", error)
                stop.wait(RETRY_S)
        return None

    def _open(self) -> LakeWriter:
        """A writer that goes on where the record says, after what was begun is done. Raises OSError, ValueError."""
        writer = LakeWriter(self._lake, self._collector, load_record(self._lake, self._collector), limits=self._limits)
        position = writer.record.position
        if writer.record.merge is not None:
            writer.merge(writer.record.merge)
        if writer.record.plan is not None:
            if position.file and not (self._spool / f"{position.file:016d}.spool").exists():
                writer.abandon()
            else:
                writer.redo(self._judged_from(position))
        self._tell(writer)
        return writer

    def _tell(self, writer: LakeWriter) -> None:
        """Leave word for who tidies the spool."""
        if self._progress is not None:
            beside = self._progress.with_suffix(".part")
            beside.write_bytes(msgspec.json.encode(writer.record.position))
            beside.rename(self._progress)

    def _judged_from(self, start: Place) -> Iterator[tuple[Frame, bool]]:
        frames = Spool.read_only(self._spool, start)
        while group := list(islice(frames, GROUP)):
            judged = self._judge(group)
            yield from judged
            if len(judged) < len(group):
                raise OSError("the index is behind what was begun in the lake; it will come")

    def _step(self, writer: LakeWriter) -> int:
        """Take what is there, and flush where that is due; how many batches were taken."""
        if writer.record.plan is None:
            judged = self._judge(self._tail.after(writer.end, GROUP))
            self._tail.drop(len(judged))
            for frame, counts in judged:
                (writer.take if counts else writer.skip)(frame)
        else:
            judged = []  # a flush failed half-way: its range is settled, nothing may be added
        if writer.is_due() or writer.record.plan is not None:
            writer.flush()
            self._tell(writer)
            gc.collect()
        return len(judged)

    def _step_own(self) -> None:
        if self._own is not None:
            self._own.step()

    def _finish_own(self) -> None:
        if self._own is not None:
            self._own.finish()

    def _merge(self, writer: LakeWriter) -> None:
        """Merge one hour's small files at a time: the spool must not wait for all of them."""
        if writer.record.merge is not None:
            writer.merge(writer.record.merge)
        now_s = time.monotonic()
        if self._merges is None and now_s - self._merged_s >= merging.EVERY_S:
            self._merged_s = now_s
            self._merges = merging.find_merges(self._lake, self._collector, self._clock_ns() // 1_000_000)
        unfinished = writer.record.plan is not None or (self._own is not None and self._own.is_unfinished)
        if self._merges is None or unfinished:
            return
        planned = next(self._merges, None)
        if planned is None:
            self._merges = None
        else:
            writer.merge(planned)

    def _sweep(self) -> None:
        now_s = time.monotonic()
        if self._keep_days and now_s - self._swept_s >= EVERY_S:
            self._swept_s = now_s
            remove_expired(self._lake, self._clock_ns() // 1_000_000, self._keep_days)


class Tail:
    """Reads a spool that grows, and looks at the disk only where there is more."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._frames: Iterator[Frame] = iter(())
        self._held: list[Frame] = []
        self._next = Place(-1, 0)

    def after(self, start: Place, most: int) -> list[Frame]:
        """At most so many frames at or behind `start`; the same ones again until they are dropped."""
        if self._next != start:
            self._frames, self._held, self._next = iter(()), [], start
        self._held += islice(self._frames, most - len(self._held))
        if not self._held and self._has_more(start):
            self._frames = Spool.read_only(self._spool, start)
            self._held += islice(self._frames, most)
        return self._held

    def drop(self, count: int) -> None:
        """The first so many were taken."""
        if count:
            self._next = self._held[count - 1].end
            self._held = self._held[count:]

    def _has_more(self, start: Place) -> bool:
        """Whether any file holds bytes behind `start`."""
        for path in self._spool.glob("*.spool"):
            if path.stem.isdecimal() and int(path.stem) >= start.file:
                size = path.stat().st_size
                if size > (start.offset if int(path.stem) == start.file else 0):
                    return True
        return False
