"""A transaction that only reads, for those who wait at the other end of a request: given up after a time."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine

TIMEOUT_S: Final = 10.0
_STEPS: Final = 20_000
"""SQLite asks whether to go on after so many steps of its machine, less than a millisecond."""


@contextmanager
def reading(engine: Engine, *, timeout_s: float = TIMEOUT_S) -> Iterator[Connection]:
    """A connection to read by. What takes longer than `timeout_s` raises SQLAlchemyError."""
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            with _interrupted(connection, time.monotonic() + timeout_s):
                yield connection
        else:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}")
            yield connection


@contextmanager
def _interrupted(connection: Connection, deadline_s: float) -> Iterator[None]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.set_progress_handler(lambda: time.monotonic() > deadline_s, _STEPS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)
