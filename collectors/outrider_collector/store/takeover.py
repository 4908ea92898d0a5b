"""Findings of the first schema, one row for each that was told, brought into the tables of today."""

from typing import Final

import msgspec
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, MetaData, Table, select

from outrider_collector.store.findings import Told, save_told
from outrider_wire.findings import Finding

OLD_FINDINGS: Final = "findings_1"
CHUNK: Final = 1000

_old = Table(
    OLD_FINDINGS,
    MetaData(),
    Column("position", BigInteger, primary_key=True),
    Column("received_at_ns", BigInteger),
    Column("body", LargeBinary),
)


def fold_old_findings(connection: Connection) -> None:
    """Save them in the order in which they came."""
    position = -1
    while True:
        wanted = select(_old).where(_old.c.position > position).order_by(_old.c.position).limit(CHUNK)
        rows = connection.execute(wanted).all()
        if not rows:
            return
        told = [Told(row.received_at_ns, msgspec.json.decode(row.body, type=Finding)) for row in rows]
        save_told(connection, told)
        position = rows[-1].position
