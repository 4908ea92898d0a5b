"""The tables of the first collectors, made before there were migrations (PRAGMA user_version 1)."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them; a database that has them is marked to be here already."""
    op.create_table(
        "agents",
        sa.Column("agent", sa.String(32), primary_key=True),
        sa.Column("public_key", sa.LargeBinary(32), nullable=False),
        sa.Column("resume_public_key", sa.LargeBinary(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("task_arn", sa.Text, nullable=False, index=True),
        sa.Column("task", sa.LargeBinary, nullable=False),
        sa.Column("made_at_ns", sa.BigInteger, nullable=False),
        sa.Column("enrolled_at_ns", sa.BigInteger, nullable=False),
        sa.Column("seen_at_ns", sa.BigInteger, nullable=False),
        sa.Column("interval_s", sa.Float, nullable=False),
        sa.Column("next_sequence", sa.BigInteger, nullable=False),
        sa.Column("last_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("said_goodbye", sa.Boolean, nullable=False),
        sa.Column("told_silent", sa.Boolean, nullable=False),
        sa.Column("successor", sa.String(32), nullable=False),
        sa.Column("facts", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "batches",
        sa.Column("agent", sa.String(32), primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("previous", sa.LargeBinary(32), nullable=False),
        sa.Column("sealed_at_ns", sa.BigInteger, nullable=False),
        sa.Column("received_at_ns", sa.BigInteger, nullable=False),
        sa.Column("findings", sa.Integer, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("shed_findings", sa.Integer, nullable=False),
        sa.Column("shed_events", sa.Integer, nullable=False),
        sa.Column("spool_file", sa.BigInteger, nullable=False),
        sa.Column("spool_offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "findings",
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("agent", sa.String(32), nullable=False),
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("received_at_ns", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(256), nullable=False),
        sa.Column("rule", sa.String(256), nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("task_arn", sa.Text, nullable=False),
        sa.Column("container", sa.String(128), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("agent", "id"),
        sqlite_autoincrement=True,
    )
    op.create_index("findings_by_time", "findings", ["at_ns"])
    op.create_index("findings_by_type", "findings", ["type", "at_ns"])
    op.create_table(
        "spool_position",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("file", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
