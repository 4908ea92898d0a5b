"""Gaps in the store: batches that were missing when a later one came, until they are told of or have come."""

from msgspec import Struct
from sqlalchemy import Connection, delete, select

from outrider_collector.store.database import upsert
from outrider_collector.store.tables import batches, gaps


class Gap(Struct, frozen=True):
    """Numbers from `first` to `last` of an agent, missing when it was noticed."""

    agent: str
    first: int
    last: int
    noticed_at_ns: int


def save_gaps(connection: Connection, found: list[Gap]) -> None:
    """Note gaps."""
    upsert(connection, gaps, [{name: getattr(gap, name) for name in gap.__struct_fields__} for gap in found])


def load_gaps(connection: Connection, before_ns: int) -> list[Gap]:
    """Gaps noticed before a time."""
    query = select(gaps).where(gaps.c.noticed_at_ns <= before_ns).order_by(gaps.c.agent, gaps.c.first)
    return [Gap(**row) for row in connection.execute(query).mappings()]


def forget_gap(connection: Connection, gap: Gap) -> None:
    """It was told of, or closed."""
    connection.execute(delete(gaps).where(gaps.c.agent == gap.agent, gaps.c.first == gap.first))


def still_missing(connection: Connection, gap: Gap) -> list[tuple[int, int]]:
    """The ranges of a gap that did not come since."""
    query = select(batches.c.sequence).where(
        batches.c.agent == gap.agent, batches.c.sequence >= gap.first, batches.c.sequence <= gap.last
    )
    there = [row[0] for row in connection.execute(query.order_by(batches.c.sequence))]
    missing, begin = [], gap.first
    for number in [*there, gap.last + 1]:
        if number > begin:
            missing.append((begin, number - 1))
        begin = number + 1
    return missing
