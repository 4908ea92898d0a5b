"""The schema: made at once or by migrations it is the same, older databases lose nothing, newer ones are refused."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, select

from outrider_collector.store import tables
from outrider_collector.store.agents import load_agent
from outrider_collector.store.batches import load_batch, load_spool_position
from outrider_collector.store.database import open_database, writing
from outrider_collector.store.findings import FindingQuery, query_findings
from outrider_collector.store.schema import HEAD, MIGRATIONS, migrate
from outrider_wire.errors import ConfigError
from outrider_wire.findings import Finding

OLD = Path(__file__).with_name("schema_1.sql")


def differences(engine: Engine) -> list[Any]:
    """What Alembic would still change."""
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    return [each for each in found if "findings_words" not in str(each)]  # the full-text index is no table of ours


def indexes(engine: Engine) -> set[tuple[str, str, bool]]:
    """Every index by table, columns and uniqueness."""
    looked = inspect(engine)
    return {
        (table, str(index["column_names"]), bool(index["unique"]))
        for table in looked.get_table_names()
        for index in looked.get_indexes(table)
    }


def test_a_new_store_is_what_the_tables_say(engine: Engine) -> None:
    """Nothing is left to change, and the revision is the newest there is."""
    assert differences(engine) == []
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == HEAD


def test_migrations_lead_to_the_same(engine: Engine, tmp_path: Path, request: Any) -> None:
    """From nothing, one after another, on both engines."""
    if engine.dialect.name == "sqlite":
        url = f"sqlite:///{tmp_path / 'other.sqlite'}"
    else:
        url = request.getfixturevalue("postgres").create()
    other = open_bare(url)
    with writing(other) as connection:
        migrate(connection, "")
    assert differences(other) == []
    assert indexes(other) == indexes(engine)
    other.dispose()
    open_database(url).dispose()


def open_bare(url: str) -> Engine:
    """A database without tables."""
    from sqlalchemy import make_url

    from outrider_collector.store import database

    return database._engine(database._url(make_url(url).render_as_string(hide_password=False)))


def test_a_newer_schema_is_refused(store_url: str, engine: Engine) -> None:
    """By name, and nothing in it is touched."""
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="9999"):
        open_database(store_url)


@pytest.mark.parametrize("mark", [2, 7])
def test_a_database_of_an_unknown_mark_is_refused(tmp_path: Path, mark: int) -> None:
    """It is not ours, or from a time to come."""
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {mark}")
    with pytest.raises(ConfigError, match=f"schema {mark}"):
        open_database(path)


@pytest.mark.parametrize("given", ["mysql://x/y", "no url", "sqlite://", "postgresql://127.0.0.1:1/x"])
def test_what_is_no_database_of_ours_is_refused(given: str) -> None:
    """By whose doing it is: the operator's."""
    with pytest.raises(ConfigError):
        open_database(given)


def test_a_password_is_not_shown() -> None:
    """Errors end up in logs."""
    with pytest.raises(ConfigError) as refused:
        open_database("postgresql://me:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(refused.value)


def test_many_may_open_a_new_store_at_once(database_url: str) -> None:
    """One makes the tables, the others wait for it."""
    with ThreadPoolExecutor(6) as pool:
        for opened in [pool.submit(open_database, database_url) for _ in range(6)]:
            opened.result(30).dispose()


def test_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    """A database as the first collectors made it: agents, batches, position and every finding are there afterwards."""
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as old:
        old.executescript(OLD.read_text())
        told = [msgspec.json.decode(row[0], type=Finding) for row in old.execute("SELECT body FROM findings")]
        numbers = old.execute("SELECT agent, sequence, digest FROM batches").fetchall()
        (position,) = old.execute("SELECT file, offset FROM spool_position").fetchall()
    engine = open_database(path)
    with engine.connect() as connection:
        page = query_findings(connection, FindingQuery(after=0))
        assert [msgspec.json.decode(each, type=Finding) for each in page.findings] == told
        assert all(load_batch(connection, agent, n).digest == digest for agent, n, digest in numbers)  # type: ignore[union-attr]
        agents = [row[0] for row in connection.execute(select(tables.agents.c.agent))]
        assert len(agents) == 3 and all(load_agent(connection, each) for each in agents)
        live = connection.execute(select(tables.agents.c.agent).where(tables.agents.c.status == "live")).all()
        assert len(live) == 2, "two were live for one task: the newer stays"
        assert load_spool_position(connection, "any", "index") == position
        counts = connection.execute(select(tables.findings.c.count)).scalars().all()
        assert sum(counts) == len(told) and len(counts) < len(told)
    assert differences(engine) == []
    engine.dispose()
    open_database(path).dispose()


def test_a_takeover_that_fails_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one transaction: the database is as it was, and the next try succeeds."""
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as old:
        old.executescript(OLD.read_text())
    from outrider_collector.store import takeover

    def fail(*given: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(takeover, "save_told", fail)
        with pytest.raises(ConfigError, match="no space"):
            open_database(path)
    with sqlite3.connect(path) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        assert old.execute("SELECT count(*) FROM findings").fetchone() == (4,)
    open_database(path).dispose()
