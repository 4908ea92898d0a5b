"""The tables of the findings store.

Text from agents is kept as it came; a finding's `body` is its JSON, the columns beside it are for asking by.
A finding's key is the agent and its id together, so that no agent can take the place of another's finding.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 1

metadata = MetaData()

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
    Column("last_digest", LargeBinary(32), nullable=False),
    Column("said_goodbye", Boolean, nullable=False),
    Column("told_silent", Boolean, nullable=False),
    Column("successor", String(32), nullable=False),
    Column("facts", LargeBinary, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("agent", String(32), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("sealed_at_ns", BigInteger, nullable=False),
    Column("received_at_ns", BigInteger, nullable=False),
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

findings = Table(
    "findings",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("agent", String(32), nullable=False),
    Column("id", String(128), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("received_at_ns", BigInteger, nullable=False),
    Column("type", String(256), nullable=False),
    Column("rule", String(256), nullable=False),
    Column("severity", String(8), nullable=False),
    Column("task_arn", Text, nullable=False),
    Column("container", String(128), nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("agent", "id"),
    Index("findings_by_time", "at_ns"),
    Index("findings_by_type", "type", "at_ns"),
    sqlite_autoincrement=True,
)

spool_position = Table(
    "spool_position",
    metadata,
    Column("collector", String(64), primary_key=True),
    Column("follower", String(16), primary_key=True),
    Column("file", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
)
