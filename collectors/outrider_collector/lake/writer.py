"""The writer: takes batches of the spool, keeps their rows as columns, and brings them to the lake in flushes."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from outrider_collector.lake.classes import BY_UID
from outrider_collector.lake.finishing import OriginColumns
from outrider_collector.lake.layout import HOUR_MS, Partition, flush_name, path_of
from outrider_collector.lake.mapping import map_rows
from outrider_collector.lake.memory import Memory
from outrider_collector.lake.merging import do_merge
from outrider_collector.lake.origins import NO_ACCOUNT, NO_REGION, Origin, batch_origin
from outrider_collector.lake.parquet import encode
from outrider_collector.lake.places import Lake
from outrider_collector.lake.record import Merge, Plan, Record, save_record
from outrider_collector.lake.rows import Rows
from outrider_collector.spool import Frame, Place
from outrider_wire.batch import Batch, peek_header, read_events, read_findings
from outrider_wire.errors import WireError
from outrider_wire.findings import Finding

CHUNK_ROWS: Final = 16_384
"""Rows that become columns at a time."""

MAX_PLACES: Final = 64
"""Most regions and accounts of one flush that get partitions of their own: an agent may say what it likes of itself."""

log = logging.getLogger("outrider.collector")


class Limits(Struct, frozen=True):
    """When a flush is due: whichever comes first."""

    rows: int = 1_000_000
    size_bytes: int = 256 << 20
    seconds: float = 300.0


class LakeWriter:
    """Writes one collector's spool into a lake; `collector` is its safe name. Not for several threads."""

    def __init__(
        self,
        lake: Lake,
        collector: str,
        record: Record,
        *,
        limits: Limits | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lake, self._collector, self._limits, self._clock_s = lake, collector, limits or Limits(), clock_s
        self.record = record
        self._memory = Memory()
        self._begin(record.position)

    @property
    def end(self) -> Place:
        """Up to where the spool was taken, in the lake or in memory."""
        return self._end

    def take(self, frame: Frame) -> None:
        """Take a batch. One that cannot be read is passed over, with a word in the log: its index says the same."""
        self.skip(frame)
        try:
            batch = open_frame(frame)
            findings, events = read_findings(batch), read_events(batch)
        except WireError as error:
            log.warning("a spooled batch at %s is not in the lake: %s", frame.place, error)
            return
        header = batch.header
        origin = batch_origin(
            header.agent, header.sequence, frame.received_at_ns, software=header.software, task=header.task
        )
        self._rows.add_findings(origin, findings)
        self._rows.add_events(origin, events, self._memory)
        if self._rows.count >= CHUNK_ROWS:
            self._make_columns()

    def take_finding(self, finding: Finding, origin: Origin, end: Place) -> None:
        """Take a finding that came in no batch."""
        self.reach(end)
        self._rows.add_findings(origin, [finding])
        if self._rows.count >= CHUNK_ROWS:
            self._make_columns()

    def skip(self, frame: Frame) -> None:
        """Pass over a batch."""
        self.reach(frame.end)

    def reach(self, end: Place) -> None:
        """Up to here all there is was taken."""
        self._end = end

    def is_due(self) -> bool:
        """Whether it is time to flush."""
        if self._count + self._rows.count >= self._limits.rows or self._bytes >= self._limits.size_bytes:
            return True
        return self._end > self.record.position and self._clock_s() - self._began_s >= self._limits.seconds

    def flush(self) -> int:
        """Bring what was taken into the lake, and note it; how many files it made. Raises OSError: call it again."""
        self._make_columns()
        if self._end == self.record.position and self.record.plan is None:
            return 0
        origins = OriginColumns(self._origins)
        flush = flush_name(self._collector, self.record.position, self._end)
        whole = {uid: pa.Table.from_batches(batches).combine_chunks() for uid, batches in self._columns.items()}
        parts = [
            (BY_UID[uid], rows, chosen, path_of(BY_UID[uid], partition, flush))
            for uid, rows in whole.items()
            for partition, chosen in split(rows, origins)
        ]
        files = tuple(path for *_, path in parts)
        leftover = set(self.record.plan.files if self.record.plan else ()) - set(files)
        self._note(Record(self.record.position, Plan(self._end, (*files, *sorted(leftover)))))
        for lake_class, rows, chosen, path in parts:
            self._lake.put(path, encode(lake_class, rows, chosen, origins))
        for path in leftover:
            self._lake.remove(path)
        self._note(Record(self._end))
        self._begin(self._end)
        return len(files)

    def redo(self, frames: Iterable[tuple[Frame, bool]]) -> None:
        """Make again a flush that was begun and not noted as done. Raises OSError.

        `frames` are of the spool from the record's position on, each with whether it counts.
        """
        plan = self.record.plan
        if plan is None:
            return
        for frame, counts in frames:
            if frame.end > plan.end:
                break
            (self.take if counts else self.skip)(frame)
        if self._end == plan.end:
            self.flush()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Leave such a flush as it is, since the spool no longer has all that it was begun with. Raises OSError."""
        plan = self.record.plan
        if plan is not None:
            log.error("the spool no longer has what a flush of the lake was begun with: some of it may be missing")
            self._note(Record(plan.end))
            self._begin(plan.end)

    def merge(self, planned: Merge) -> None:
        """Make one file of several, so that a death half-way is found and ended. Raises OSError."""
        self._note(Record(self.record.position, merge=planned))
        do_merge(self._lake, planned)
        self._note(Record(self.record.position))

    def _note(self, record: Record) -> None:
        save_record(self._lake, self._collector, record)
        self.record = record

    def _begin(self, end: Place) -> None:
        self._end = end
        self._rows, self._count, self._bytes = Rows(), 0, 0
        self._origins: list[Origin] = []
        self._columns: dict[int, list[pa.RecordBatch]] = {}
        self._began_s = self._clock_s()
        self._memory.trim()

    def _make_columns(self) -> None:
        rows = self._rows
        if not rows.count:
            return
        rows.first_origin = len(self._origins)
        for lake_class, batch in map_rows(rows):
            self._columns.setdefault(lake_class.uid, []).append(batch)
            self._bytes += batch.nbytes
        self._origins += rows.origins
        self._count += rows.count
        self._rows = Rows()


def open_frame(frame: Frame) -> Batch:
    """A batch from one's own disk, whose signature was checked before it came there. Raises WireError."""
    header, digest, signed_end = peek_header(frame.data)
    rest = frame.data[signed_end:]
    return Batch(header, digest, rest[: header.findings.size], rest[header.findings.size :])


def split(rows: pa.Table, origins: OriginColumns) -> Iterator[tuple[Partition, pa.Array]]:
    """The numbers of unfinished rows by their partition."""
    places, numbers = _places(origins)
    place = numbers.take(rows.column("origin").combine_chunks())
    hours = pc.divide(rows.column("time").combine_chunks(), HOUR_MS)
    keys = pc.add(pc.multiply(hours, MAX_PLACES + 1), place)
    for key in sorted(pc.unique(keys).to_pylist()):
        hour, number = divmod(key, MAX_PLACES + 1)
        region, account = places[number]
        yield Partition(region, account, hour), pc.indices_nonzero(pc.equal(keys, key))


def _places(origins: OriginColumns) -> tuple[list[tuple[str, str]], pa.Array]:
    """Regions and accounts of origins, and which of them each origin has."""
    places: dict[tuple[str, str], int] = {(NO_REGION, NO_ACCOUNT): 0}
    numbers = []
    said = zip(origins.columns["region"].to_pylist(), origins.columns["account"].to_pylist(), strict=True)
    for place in said:
        if place not in places and len(places) <= MAX_PLACES:
            places[place] = len(places)
        numbers.append(places.get(place, 0))
    return list(places), pa.array(numbers, pa.int64())
