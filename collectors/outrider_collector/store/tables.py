"""The tables of the store, as they are at the newest migration; `migrations/` says how an older database comes here.

A finding's row is what repeats of it fold into, an occurrence is one of them as its agent told it: its `body` is that
JSON. An occurrence's key is the agent and its id together, so that no agent can take the place of another's. Text
columns are cut and cleaned (`texts.column`), since they are only for asking by: the body has it all. `collector` names
the one that made it itself, and is empty where an agent told it.

Numbers of findings, occurrences, notes, rules and the audit log come from one counter (`feed`), so they are in the
order of commits on both engines.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.types import TypeEngine

metadata = MetaData()

LONGEST: Final = 512
"""Longest text column, in characters: PostgreSQL indexes no more than 2700 bytes."""


def text(length: int) -> TypeEngine[str]:
    """Text that is compared byte by byte on both engines."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def number() -> TypeEngine[int]:
    """A number of 64 bits; on SQLite, as a primary key, the row's own."""
    return BigInteger().with_variant(Integer(), "sqlite")


def words() -> TypeEngine[Any]:
    """The words of a finding: a sorted set on PostgreSQL, on SQLite the text that the full-text index is made of."""
    return Text().with_variant(TSVECTOR(), "postgresql")


agents = Table(
    "agents",
    metadata,
    Column("agent", String(32), primary_key=True),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("resume_public_key", LargeBinary(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("task_arn", Text, nullable=False, index=True),
    Column("task", LargeBinary, nullable=False),
    Column("made_at_ns", BigInteger, nullable=False),
    Column("enrolled_at_ns", BigInteger, nullable=False),
    Column("seen_at_ns", BigInteger, nullable=False),
    Column("changed_at_ns", BigInteger, nullable=False, index=True),
    Column("interval_s", Float, nullable=False),
    Column("next_sequence", BigInteger, nullable=False),
    Column("forgotten_before", BigInteger, nullable=False),
    Column("last_digest", LargeBinary(32), nullable=False),
    Column("said_goodbye", Boolean, nullable=False),
    Column("told_silent", Boolean, nullable=False),
    Column("successor", String(32), nullable=False),
    Column("facts", LargeBinary, nullable=False),
)
ONE_LIVE_KEY = "status = 'live' AND task_arn <> ''"
Index(
    "agents_live_task",
    agents.c.task_arn,
    unique=True,
    sqlite_where=(agents.c.status == "live") & (agents.c.task_arn != ""),
    postgresql_where=(agents.c.status == "live") & (agents.c.task_arn != ""),
)

batches = Table(
    "batches",
    metadata,
    Column("agent", String(32), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("sealed_at_ns", BigInteger, nullable=False),
    Column("received_at_ns", BigInteger, nullable=False, index=True),
    Column("findings", Integer, nullable=False),
    Column("events", Integer, nullable=False),
    Column("shed_findings", Integer, nullable=False),
    Column("shed_events", Integer, nullable=False),
    Column("collector", String(64), nullable=False),
    Column("spool_file", BigInteger, nullable=False),
    Column("spool_offset", BigInteger, nullable=False),
)

gaps = Table(
    "gaps",
    metadata,
    Column("agent", String(32), primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("noticed_at_ns", BigInteger, nullable=False, index=True),
)

spool_position = Table(
    "spool_position",
    metadata,
    Column("collector", String(64), primary_key=True),
    Column("follower", String(16), primary_key=True),
    Column("file", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
)

feed = Table(
    "feed",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("change", BigInteger, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    Column("number", number(), primary_key=True, autoincrement=False),
    Column("id", String(32), nullable=False, unique=True),
    Column("change", BigInteger, nullable=False, unique=True),
    Column("latest", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_seen_ns", BigInteger, nullable=False),
    Column("last_seen_ns", BigInteger, nullable=False),
    Column("severity", SmallInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("archived_at_ns", BigInteger, nullable=False),
    Column("suppressed_by", BigInteger, nullable=False),
    Column("assignee", text(256), nullable=False),
    Column("type", text(256), nullable=False),
    Column("rule", text(256), nullable=False),
    Column("account", text(32), nullable=False),
    Column("region", text(32), nullable=False),
    Column("cluster", text(256), nullable=False),
    Column("family", text(256), nullable=False),
    Column("container", text(256), nullable=False),
    Column("image", text(LONGEST), nullable=False),
    Column("process", text(256), nullable=False),
    Column("executable", text(LONGEST), nullable=False),
    Column("words", words(), nullable=False),
)

WALKED: Final = (
    "severity",
    "state",
    "type",
    "rule",
    "account",
    "region",
    "cluster",
    "family",
    "container",
    "image",
    "process",
    "executable",
)
"""Columns with an index in which equal values lie in the order they are listed: by when they were last seen."""

Index("findings_last_seen", findings.c.last_seen_ns, findings.c.number)
for _name in WALKED:
    Index(f"findings_{_name}", findings.c[_name], findings.c.last_seen_ns, findings.c.number)
Index(
    "findings_assignee",
    findings.c.assignee,
    findings.c.last_seen_ns,
    findings.c.number,
    sqlite_where=findings.c.assignee != "",
    postgresql_where=findings.c.assignee != "",
)

occurrences = Table(
    "occurrences",
    metadata,
    Column("position", number(), primary_key=True, autoincrement=False),
    Column("finding", BigInteger, nullable=False),
    Column("agent", String(32), nullable=False),
    Column("id", text(128), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("received_at_ns", BigInteger, nullable=False, index=True),
    Column("task_arn", text(LONGEST), nullable=False),
    Column("collector", text(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("agent", "id"),
    Index("occurrences_finding", "finding", "position"),
    Index("occurrences_task", "task_arn", "finding"),
)

Index(
    "occurrences_own",
    occurrences.c.collector,
    occurrences.c.position,
    sqlite_where=occurrences.c.collector != "",
    postgresql_where=occurrences.c.collector != "",
)

notes = Table(
    "notes",
    metadata,
    Column("number", number(), primary_key=True, autoincrement=False),
    Column("finding", BigInteger, nullable=False, index=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", text(256), nullable=False),
    Column("said", Text, nullable=False),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("number", number(), primary_key=True, autoincrement=False),
    Column("made_at_ns", BigInteger, nullable=False),
    Column("who", text(256), nullable=False),
    Column("why", Text, nullable=False),
    Column("expires_at_ns", BigInteger, nullable=False),
    Column("removed_at_ns", BigInteger, nullable=False),
    Column("conditions", LargeBinary, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", number(), primary_key=True, autoincrement=False),
    Column("at_ns", BigInteger, nullable=False, index=True),
    Column("who", text(256), nullable=False),
    Column("action", text(64), nullable=False),
    Column("subject", text(256), nullable=False, index=True),
    Column("detail", LargeBinary, nullable=False),
)
