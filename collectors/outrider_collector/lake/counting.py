"""Which copy of a batch counts: the one that the store says, so that none is in the lake twice.

A batch may be spooled more than once: by one collector that died before it could answer, or by two that share a store.
The store names the one copy that it indexed, by collector and place. So the lake follows behind the index, never ahead.
"""

import logging
from collections.abc import Sequence

from sqlalchemy import Engine, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.spool import Frame, Place
from outrider_collector.store.batches import load_spool_position
from outrider_collector.store.tables import batches
from outrider_wire.batch import peek_header
from outrider_wire.errors import WireError

INDEX = "index"
"""The follower of the spool that judges batches."""

log = logging.getLogger("outrider.collector")


class Counting:
    """Asks the store about one collector's spool."""

    def __init__(self, engine: Engine, collector: str) -> None:
        self._engine, self._collector = engine, collector

    def judge(self, frames: Sequence[Frame]) -> list[tuple[Frame, bool]]:
        """The first of these frames, as many as are judged, each with whether it counts. Raises OSError."""
        if not frames:
            return []
        try:
            with self._engine.connect() as connection:
                reached = Place(*load_spool_position(connection, self._collector, INDEX))
                judged = [frame for frame in frames if frame.end <= reached]
                names = {name: frame for frame in judged if (name := _name(frame)) is not None}
                columns = batches.c.agent, batches.c.sequence
                said = connection.execute(
                    select(*columns, batches.c.collector, batches.c.spool_file, batches.c.spool_offset).where(
                        tuple_(*columns).in_(list(names))
                    )
                ).all()
        except SQLAlchemyError as error:
            raise OSError(f"the store refuses: {error}") from error
        counted = {Place(file, offset) for _, _, collector, file, offset in said if collector == self._collector}
        return [(frame, frame.place in counted) for frame in judged]


def all_count(frames: Sequence[Frame]) -> list[tuple[Frame, bool]]:
    """Where there is no store to ask: each counts."""
    return [(frame, True) for frame in frames]


def _name(frame: Frame) -> tuple[str, int] | None:
    try:
        header, _, _ = peek_header(frame.data)
    except WireError as error:
        log.warning("a spooled batch at %s cannot be read: %s", frame.place, error)
        return None
    return header.agent, header.sequence
