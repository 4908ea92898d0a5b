"""The database, SQLite or PostgreSQL: opened, set up so that writers and readers get on, and brought up to date.

On SQLite one writes at a time: `writing` takes that turn before it reads, since a transaction that has read may not
begin to write after another has. On PostgreSQL rows are locked: agents first, in the order of their names, then the
feed's counter (`feed.py`), then findings. Who keeps to that order waits for no one who waits for him.
"""

import functools
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from outrider_wire.errors import ConfigError

Row = Mapping[str, object]

SQLITE_WAIT_S: Final = 10.0
"""Longest wait for one's turn to write."""
SQLITE_CACHE_KIB: Final = 16 << 10
"""Page cache of each connection; the system's own does the rest."""
SQLITE_CHECKPOINT_PAGES: Final = 16 << 10
"""Pages of 4 KiB that changes are gathered in before they go where they belong: most are changed again soon."""
SQLITE_MAPPED_BYTES: Final = 8 << 30
"""So much of the file is read in place. It is the system's cache, and no memory of ours."""
POSTGRES_SESSION: Final = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "timezone": "UTC",
        "lock_timeout": "10s",
        "statement_timeout": "60s",
        "idle_in_transaction_session_timeout": "60s",
        "plan_cache_mode": "force_custom_plan",  # which index is right depends on the values
        "jit": "off",  # it compiles for longer than a page of findings takes
    }.items()
)
WRITES: Final = "outrider_writes"


def open_database(where: Path | str) -> Engine:
    """Open the database at a SQLite file or a `postgresql://` URL and bring its tables up to date.

    Raises:
        ConfigError: it cannot be used, or a newer collector made it.
    """
    from outrider_collector.store.schema import bring_up_to_date  # it knows all tables, whose modules need this one

    url = _url(where)
    shown = url.render_as_string(hide_password=True) if url.get_backend_name() != "sqlite" else url.database
    try:
        engine = _engine(url)
        bring_up_to_date(engine)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed; install outrider[collector]") from error
    except (OSError, SQLAlchemyError) as error:
        raise ConfigError(f"the database {shown} cannot be used: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"the database {shown} {error}") from error
    return engine


@contextmanager
def writing(engine: Engine, *, durable: bool = True) -> Iterator[Connection]:
    """A transaction that may write: committed at its end, rolled back where it raises.

    A power cut may take the latest of those that are not `durable` on SQLite: they must follow from the spool.
    """
    options = {WRITES: "durable" if durable else "redoable"}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert the rows that are not there yet; the others stay as they are."""
    if rows:
        connection.execute(_insert(connection.dialect.name, table).on_conflict_do_nothing(), rows)


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, or put them in place of those with the same primary key. All rows have all columns."""
    if rows:
        connection.execute(_upsert(connection.dialect.name, table), rows)


def _insert(dialect: str, table: Table) -> Any:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


@functools.cache
def _upsert(dialect: str, table: Table) -> Any:
    statement = _insert(dialect, table)
    keys = [column.name for column in table.primary_key]
    changed: dict[str, Any] = {c.name: c for c in statement.excluded if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def _url(where: Path | str) -> URL:
    """Where the database is. Raises ConfigError."""
    if isinstance(where, Path):
        return URL.create("sqlite", database=str(where))
    try:
        url = make_url(where)
    except (ArgumentError, ValueError) as error:
        raise ConfigError("the database must be a URL as postgresql://user@host/name") from error
    name = url.drivername.partition("+")[0]
    if name in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if name == "sqlite" and url.database:
        return url.set(drivername="sqlite")
    raise ConfigError(f"the database must be postgresql:// or sqlite:///FILE, not {name}://")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        engine = create_engine(url, connect_args={"timeout": SQLITE_WAIT_S})
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
        return engine
    given = url.query.get("options", "")
    options = f"{POSTGRES_SESSION} {given if isinstance(given, str) else ' '.join(given)}".strip()
    return create_engine(
        url.difference_update_query(["options"]),
        connect_args={"connect_timeout": 10, "options": options, "application_name": "outrider-collector"},
        pool_pre_ping=True,
    )


def _set_up(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    """WAL: readers never wait for the writer."""
    del record
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    for pragma in (
        "journal_mode=WAL",
        f"cache_size=-{SQLITE_CACHE_KIB}",
        f"mmap_size={SQLITE_MAPPED_BYTES}",
        f"wal_autocheckpoint={SQLITE_CHECKPOINT_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    if writes:
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if writes == 'durable' else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
