"""Accepted batches in the store: their place in the chain and in the spool."""

from msgspec import Struct
from sqlalchemy import Connection, select

from outrider_collector.store.database import upsert
from outrider_collector.store.tables import batches, spool_position

FIRST_COLLECTOR = ""
"""Under this name stands the position of the one collector that a database of the first schema had."""


class BatchRow(Struct, frozen=True, kw_only=True):
    """One accepted batch, without its records."""

    agent: str
    sequence: int
    digest: bytes
    previous: bytes
    sealed_at_ns: int
    received_at_ns: int
    findings: int
    events: int
    shed_findings: int
    shed_events: int
    collector: str
    spool_file: int
    spool_offset: int


def load_batch(connection: Connection, agent: str, sequence: int) -> BatchRow | None:
    """The batch an agent sent under this number, or None."""
    query = select(batches).where(batches.c.agent == agent, batches.c.sequence == sequence)
    row = connection.execute(query).mappings().first()
    return BatchRow(**row) if row else None


def save_batches(connection: Connection, rows: list[BatchRow]) -> None:
    """Write accepted batches; a fuller copy takes the place of one that had been shed."""
    upsert(connection, batches, [{name: getattr(row, name) for name in row.__struct_fields__} for row in rows])


def load_spool_position(connection: Connection, collector: str, follower: str) -> tuple[int, int]:
    """File and offset up to which a follower (`index`, say) of one collector's spool has come."""
    query = select(spool_position.c.file, spool_position.c.offset).where(
        spool_position.c.collector.in_([collector, FIRST_COLLECTOR]), spool_position.c.follower == follower
    )
    row = connection.execute(query.order_by(spool_position.c.collector.desc())).first()
    return (row[0], row[1]) if row else (0, 0)


def save_spool_position(connection: Connection, collector: str, follower: str, file: int, offset: int) -> None:
    """Note up to where a follower has come, in the same transaction as what it made of it."""
    row = {"collector": collector, "follower": follower, "file": file, "offset": offset}
    upsert(connection, spool_position, [row])
