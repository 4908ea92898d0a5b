"""The collectors that share a store: how far each has told it what it heard.

A batch is answered once one collector has it on disk, so what is missing in the store may lie in the spool of one that
is behind, or dead for the moment. Before anything is said to be missing, all are asked here how far they are.
"""

from sqlalchemy import BigInteger, Column, Connection, String, Table, delete, func, select

from outrider_collector.store.database import upsert
from outrider_collector.store.tables import metadata

collectors = Table(
    "collectors",
    metadata,
    Column("collector", String(64), primary_key=True),
    Column("alive_at_ns", BigInteger, nullable=False),
    Column("heard_until_ns", BigInteger, nullable=False),
)


def note_heard(connection: Connection, collector: str, *, alive_at_ns: int, heard_until_ns: int) -> None:
    """Note that a collector lives, and that all it heard until a time is in the store."""
    row = {"collector": collector, "alive_at_ns": alive_at_ns, "heard_until_ns": heard_until_ns}
    upsert(connection, collectors, [row])


def load_heard(connection: Connection, collector: str) -> int:
    """Until when a collector brought in what it heard, as far as it is known; 0 where it is not."""
    query = select(collectors.c.heard_until_ns).where(collectors.c.collector == collector)
    return connection.execute(query).scalar() or 0


def heard_by_all(connection: Connection, alive_since_ns: int) -> int:
    """Until when all collectors that lived at or after a time have brought in what they heard; 0 where none did."""
    query = select(func.min(collectors.c.heard_until_ns)).where(collectors.c.alive_at_ns >= alive_since_ns)
    return connection.execute(query).scalar() or 0


def forget_collector(connection: Connection, collector: str) -> None:
    """It ended in peace, and everything it heard is in the store."""
    connection.execute(delete(collectors).where(collectors.c.collector == collector))


def forget_collectors(connection: Connection, before_ns: int) -> None:
    """Those not alive since: nobody waits for them any longer."""
    connection.execute(delete(collectors).where(collectors.c.alive_at_ns < before_ns))
