"""The words of findings, indexed: by FTS5 where SQLite has it, and by a GIN index on PostgreSQL.

A question is a list of words; each must be a word of the finding, or begin one where it was asked for as `word*`. Where
few findings have them, the index names those (`named`). Where many have, walking the findings in the order of the page
finds enough of them sooner, and each is compared (`compared`). Without FTS5 that is the only way.
"""

import functools
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, Integer, and_, cast, column, select, table, text
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.sql.expression import Select

from outrider_collector.store.tables import findings
from outrider_collector.store.texts import Asked

FTS: Final = "findings_words"
_FTS_MADE: Final = (
    f"""CREATE VIRTUAL TABLE {FTS} USING fts5(words, content='findings', content_rowid='number',
        detail='none', tokenize='unicode61 remove_diacritics 0')""",
    f"""CREATE TRIGGER {FTS}_added AFTER INSERT ON findings BEGIN
        INSERT INTO {FTS}(rowid, words) VALUES (new.number, new.words); END""",
    f"""CREATE TRIGGER {FTS}_gone AFTER DELETE ON findings BEGIN
        INSERT INTO {FTS}({FTS}, rowid, words) VALUES ('delete', old.number, old.words); END""",
    f"""CREATE TRIGGER {FTS}_changed AFTER UPDATE OF words ON findings WHEN old.words <> new.words BEGIN
        INSERT INTO {FTS}({FTS}, rowid, words) VALUES ('delete', old.number, old.words);
        INSERT INTO {FTS}(rowid, words) VALUES (new.number, new.words); END""",
)


def make_index(connection: Connection) -> None:
    """Make the index over the words of findings."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"CREATE INDEX {FTS} ON findings USING gin (words)")
    elif has_fts5(connection):
        for statement in _FTS_MADE:
            connection.exec_driver_sql(statement)


def has_fts5(connection: Connection) -> bool:
    """Whether this SQLite was compiled with it."""
    options = connection.exec_driver_sql("SELECT sqlite_compileoption_used('ENABLE_FTS5')")
    return bool(options.scalar())


def named(connection: Connection, words: list[Asked]) -> "Select[int] | None":
    """The numbers of the findings that have these words, by the index; None where there is none."""
    if connection.dialect.name == "postgresql":
        return select(findings.c.number).where(findings.c.words.op("@@")(_tsquery(words)))
    if not _has_index(connection.engine):
        return None
    fts = table(FTS, column("rowid", Integer))
    asked = " ".join(f'"{each.word}"{"*" if each.begins else ""}' for each in words)
    return select(fts.c.rowid).where(text(f"{FTS} MATCH :asked").bindparams(asked=asked))


def compared(connection: Connection, words: list[Asked]) -> ColumnElement[bool]:
    """That a finding has such words, said of the finding itself."""
    if connection.dialect.name == "postgresql":
        return findings.c.words.op("@@", is_comparison=True)(_tsquery(words))
    return and_(*(findings.c.words.like(f"%'{each.word}%" if each.begins else f"%'{each.word}'%") for each in words))


def _tsquery(words: list[Asked]) -> ColumnElement[Any]:
    return cast(" & ".join(f"'{each.word}'{':*' if each.begins else ''}" for each in words), TSQUERY)


@functools.cache
def _has_index(engine: Engine) -> bool:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT count(*) FROM sqlite_master WHERE name = '{FTS}'")
        return bool(found.scalar())
