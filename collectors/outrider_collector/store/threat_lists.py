"""List documents in the store, where all collectors that share it find them. The last few are kept."""

from typing import Final

from msgspec import Struct
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, String, Table, delete, func, select

from outrider_collector.store.database import insert_new
from outrider_collector.store.tables import metadata

KEPT: Final = 3
"""Documents kept: a sidecar may just be asking for the one before."""

threat_lists = Table(
    "threat_lists",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False, index=True),
    Column("contents", String(64), nullable=False),
    Column("document", LargeBinary, nullable=False),
)


class ListRow(Struct, frozen=True):
    """A document, its name, and the digest of what it says whatever its version is."""

    version: int
    digest: str
    contents: str
    document: bytes


def newest_version(connection: Connection) -> int:
    """0 where there is none."""
    return connection.execute(select(func.max(threat_lists.c.version))).scalar() or 0


def load_newest(connection: Connection) -> ListRow | None:
    """The document that is in force."""
    row = connection.execute(select(threat_lists).order_by(threat_lists.c.version.desc()).limit(1)).mappings().first()
    return ListRow(**row) if row is not None else None


def load_document(connection: Connection, digest: str) -> bytes | None:
    """A document by its name."""
    return connection.execute(select(threat_lists.c.document).where(threat_lists.c.digest == digest)).scalar()


def save_document(connection: Connection, row: ListRow) -> None:
    """Keep a document; one that another collector made for the same version stays."""
    insert_new(connection, threat_lists, [{name: getattr(row, name) for name in row.__struct_fields__}])
    kept = select(threat_lists.c.version).order_by(threat_lists.c.version.desc()).limit(KEPT)
    versions = [version for (version,) in connection.execute(kept)]
    connection.execute(delete(threat_lists).where(threat_lists.c.version < min(versions)))
