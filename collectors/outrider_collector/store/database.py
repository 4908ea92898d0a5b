"""The database: made, opened and set up so that one writer and many readers get on."""

import functools
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from outrider_collector.store.tables import SCHEMA_VERSION, metadata
from outrider_wire.errors import ConfigError

Row = Mapping[str, object]


def open_database(path: Path) -> Engine:
    """Open the SQLite database at `path`, made 0600 where it is new.

    Raises:
        ConfigError: it cannot be used, or a newer collector made it.
    """
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 10.0})
    event.listen(engine, "connect", _set_up)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        with engine.begin() as connection:
            _check_version(connection, path)
            metadata.create_all(connection)
    except (OSError, SQLAlchemyError) as error:
        raise ConfigError(f"the database {path} cannot be used: {error}") from error
    return engine


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows that are not there yet; the others stay as they are."""
    if rows:
        connection.execute(_insert_new(table), rows)


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, or put them in place of those with the same primary key. All rows have all columns."""
    if rows:
        connection.execute(_upsert(table), rows)


def make_durable(engine: Engine) -> None:
    """Have what was committed outlive a power cut: keys are not in the spool. Raises SQLAlchemyError."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(FULL)")


@functools.cache
def _insert_new(table: Table) -> Insert:
    return insert(table).on_conflict_do_nothing()


@functools.cache
def _upsert(table: Table) -> Insert:
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    changed: dict[str, Any] = {c.name: c for c in statement.excluded if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def _set_up(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    """WAL: readers never wait for the writer. NORMAL: what a power cut takes is indexed again from the spool."""
    del record
    assert isinstance(connection, sqlite3.Connection)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _check_version(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found not in (0, SCHEMA_VERSION):
        raise ConfigError(f"the database {path} is of schema {found}; this collector speaks {SCHEMA_VERSION}")
    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
