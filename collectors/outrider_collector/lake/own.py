"""The collector's own findings in the lake: what it found wrong with agents' records, which no agent told.

They came in no batch, so they are followed in the store and not in the spool. The store says which collector made each
one: of several that share it and a lake, that one writes it. Their numbers are in the order of commits (`store.feed`):
who reads on from a number misses nothing. The rest is as with batches: the numbers are a writer's places, noted in a
record of their own before a flush and after it, so what a death cut off is made again from the same rows.
"""

import time
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import Engine, and_, literal_column, select
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.lake.layout import own_name, safe_name
from outrider_collector.lake.origins import Origin
from outrider_collector.lake.places import Lake
from outrider_collector.lake.record import load_record
from outrider_collector.lake.writer import LakeWriter, Limits
from outrider_collector.spool import Place
from outrider_collector.store.tables import occurrences
from outrider_wire.findings import Finding

PAGE: Final = 1000
"""Most findings read at once."""
LOOK_EVERY_S: Final = 1.0
"""How often the store is asked: every quarter of a second, as the spool is, would be for nothing."""


class Made(Struct, frozen=True):
    """A finding of the collector's own, its number in the store as a writer's place, and when it was made."""

    place: Place
    at_ns: int
    finding: Finding


class OwnFindings:
    """Brings what one collector found itself from its store into a lake. Not for several threads."""

    def __init__(
        self,
        lake: Lake,
        engine: Engine,
        collector: str,
        *,
        limits: Limits | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lake, self._engine, self._collector = lake, engine, collector
        self._limits, self._clock_s = limits, clock_s
        self._writer: LakeWriter | None = None
        self._look_at_s = 0.0

    @property
    def is_unfinished(self) -> bool:
        """Whether a flush was begun and is not done, as far as is known here."""
        return self._writer is None or self._writer.record.plan is not None

    def step(self) -> None:
        """Take what is new, and flush where that is due. Raises OSError: call it again."""
        if self._clock_s() >= self._look_at_s:
            self._look_at_s = self._clock_s() + LOOK_EVERY_S
            writer = self._ready()
            self._take_new(writer)
            if writer.is_due() or writer.record.plan is not None:
                writer.flush()

    def finish(self) -> None:
        """Take and flush all that is there. Raises OSError."""
        writer = self._ready()
        while self._take_new(writer) == PAGE:
            pass
        writer.flush()

    def _ready(self) -> LakeWriter:
        self._writer = self._writer or self._open()
        return self._writer

    def _take_new(self, writer: LakeWriter) -> int:
        """Take a page of what was made since; how much that was."""
        if writer.record.plan is not None:
            return 0  # a flush failed half-way: nothing may be added to its range
        page = self._read(writer.end)
        for made in page:
            _take(writer, made)
        return len(page)

    def _open(self) -> LakeWriter:
        """A writer that goes on where the record says, after what was begun is done."""
        name = own_name(safe_name(self._collector))
        writer = LakeWriter(self._lake, name, load_record(self._lake, name), limits=self._limits, clock_s=self._clock_s)
        if writer.record.plan is not None:
            self._take_again(writer, writer.record.plan.end)
            writer.flush()
        return writer

    def _take_again(self, writer: LakeWriter, end: Place) -> None:
        """Take what a flush was begun with; where some of it is too old to be kept, the rest."""
        while page := [made for made in self._read(writer.end) if made.place <= end]:
            for made in page:
                _take(writer, made)
        writer.reach(end)

    def _read(self, after: Place) -> list[Made]:
        """The next findings by their numbers. Raises OSError."""
        columns = occurrences.c
        ours = and_(columns.collector == self._collector, columns.collector != literal_column("''"))  # as of the index
        query = select(columns.position, columns.received_at_ns, columns.body).where(ours)
        query = query.where(columns.position > after.offset).order_by(columns.position).limit(PAGE)
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query).all()
        except SQLAlchemyError as error:
            raise OSError(f"the store refuses: {error}") from error
        return [Made(Place(0, row[0]), row[1], msgspec.json.decode(row[2], type=Finding)) for row in rows]


def _take(writer: LakeWriter, made: Made) -> None:
    """Of the agent that it is about, and of no batch: its own id, which its cause alone decides, names its record."""
    finding = made.finding
    writer.take_finding(finding, Origin(finding.agent, None, made.at_ns, named=finding.id), made.place)
