"""The schema: a new database is made as `tables` says, an older one is brought there by the migrations.

Only the latter takes Alembic, whose import is slow. Whoever starts first does it; the others wait, on SQLite for the
turn to write and on PostgreSQL for a lock by number.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, func, inspect, select

from outrider_collector.store import collectors, enrolments, exports, fulltext, list_entries, threat_lists, tokens
from outrider_collector.store.database import writing
from outrider_collector.store.tables import feed, metadata
from outrider_wire.errors import ConfigError

TABLES: Final = (
    feed,
    enrolments.enrolments,
    enrolments.subjects,
    tokens.tokens,
    exports.exports,
    collectors.collectors,
    threat_lists.threat_lists,
    list_entries.list_entries,
)
"""Of each module that has tables, some: so all are known to `metadata`."""

HEAD: Final = "0002"
"""The newest migration's revision."""
FIRST: Final = "0001"
"""The revision of the tables that were made before there were migrations."""
SQLITE_MARK: Final = 2
"""PRAGMA user_version of a database under migrations: a collector from before refuses it."""
LOCK: Final = 0x6F757472696465
MIGRATIONS: Final = Path(__file__).parent / "migrations"


def bring_up_to_date(engine: Engine) -> None:
    """Make the tables, or change them to what they are now, under a lock.

    Raises:
        ConfigError: it is of a newer schema. SQLAlchemyError: it cannot be changed.
    """
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        _change(connection)


def _change(connection: Connection) -> None:
    found = _revision(connection) or _revision_before_migrations(connection)
    if found is None:
        make_tables(connection)
    elif found > HEAD:
        raise ConfigError(f"is of schema {found}; this collector speaks {HEAD}")
    elif found < HEAD:
        migrate(connection, found)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {SQLITE_MARK}")


def make_tables(connection: Connection) -> None:
    """The tables of a new database."""
    metadata.create_all(connection)
    connection.execute(feed.insert().values(name="findings", change=0))
    fulltext.make_index(connection)
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.exec_driver_sql(f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')")


def migrate(connection: Connection, found: str, *, to: str = "head") -> None:
    """Run the migrations from the revision found on, inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    if _revision(connection) is None and found:
        command.stamp(config, found)
    command.upgrade(config, to)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _revision_before_migrations(connection: Connection) -> str | None:
    """SQLite databases were marked by a number in their head. Raises ConfigError for one we did not make."""
    if connection.dialect.name != "sqlite":
        return None
    mark = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if mark not in (0, 1):
        raise ConfigError(f"is of schema {mark}; this collector speaks {HEAD}")
    return FIRST if mark == 1 else None
