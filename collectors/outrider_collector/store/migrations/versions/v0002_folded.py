"""Several collectors, one live key for each task, findings that repeats fold into, triage and its record.

Until it is released this revision may still grow: who needs a table adds it to `store/tables.py` and here, and a test
compares the two. After that, changes are revisions of their own and `schema.HEAD` names the newest.
"""

import sqlalchemy as sa
from alembic import op

from outrider_collector.store import enrolments, fulltext, takeover
from outrider_collector.store.tables import ONE_LIVE_KEY, WALKED, text, words

revision = "0002"
down_revision = "0001"

_ONE_LIVE = """
    UPDATE agents SET status = 'succeeded' WHERE status = 'live' AND task_arn <> '' AND EXISTS (
        SELECT 1 FROM agents newer WHERE newer.task_arn = agents.task_arn AND newer.status = 'live' AND (
            newer.enrolled_at_ns > agents.enrolled_at_ns
            OR (newer.enrolled_at_ns = agents.enrolled_at_ns AND newer.agent > agents.agent)))"""


def upgrade() -> None:
    """Change what was there, make what was not, and fold the findings."""
    _agents()
    _batches()
    op.rename_table("findings", takeover.OLD_FINDINGS)
    for index in ("findings_by_time", "findings_by_type"):
        op.drop_index(index, takeover.OLD_FINDINGS)
    _findings()
    _triage()
    _enrolment()
    _threat_lists()
    _exports()
    _collectors()
    fulltext.make_index(op.get_bind())
    takeover.fold_old_findings(op.get_bind())
    op.drop_table(takeover.OLD_FINDINGS)


def _agents() -> None:
    op.add_column("agents", sa.Column("changed_at_ns", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("agents", sa.Column("forgotten_before", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE agents SET changed_at_ns = enrolled_at_ns")
    op.execute(_ONE_LIVE)
    op.create_index("ix_agents_changed_at_ns", "agents", ["changed_at_ns"])
    where = sa.text(ONE_LIVE_KEY)
    op.create_index("agents_live_task", "agents", ["task_arn"], unique=True, sqlite_where=where, postgresql_where=where)


def _batches() -> None:
    op.add_column("batches", sa.Column("collector", sa.String(64), nullable=False, server_default=""))
    op.create_index("ix_batches_received_at_ns", "batches", ["received_at_ns"])
    op.create_table(
        "gaps",
        sa.Column("agent", sa.String(32), primary_key=True),
        sa.Column("first", sa.BigInteger, primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("noticed_at_ns", sa.BigInteger, nullable=False, index=True),
    )
    op.rename_table("spool_position", "spool_position_1")
    op.create_table(
        "spool_position",
        sa.Column("collector", sa.String(64), primary_key=True),
        sa.Column("follower", sa.String(16), primary_key=True),
        sa.Column("file", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
    op.execute(
        """INSERT INTO spool_position (collector, follower, file, "offset")
        SELECT '', 'index', file, "offset" FROM spool_position_1"""
    )
    op.drop_table("spool_position_1")


def _findings() -> None:
    op.create_table(
        "feed",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("change", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO feed (name, change) VALUES ('findings', 0)")
    op.create_table(
        "findings",
        sa.Column("number", _number(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("change", sa.BigInteger, nullable=False, unique=True),
        sa.Column("latest", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("first_seen_ns", sa.BigInteger, nullable=False),
        sa.Column("last_seen_ns", sa.BigInteger, nullable=False),
        sa.Column("severity", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("archived_at_ns", sa.BigInteger, nullable=False),
        sa.Column("suppressed_by", sa.BigInteger, nullable=False),
        *(sa.Column(name, text(length), nullable=False) for name, length in _TEXTS.items()),
        sa.Column("words", words(), nullable=False),
    )
    op.create_index("findings_last_seen", "findings", ["last_seen_ns", "number"])
    for name in WALKED:
        op.create_index(f"findings_{name}", "findings", [name, "last_seen_ns", "number"])
    where = sa.text("assignee <> ''")
    columns = ["assignee", "last_seen_ns", "number"]
    op.create_index("findings_assignee", "findings", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "occurrences",
        sa.Column("position", _number(), primary_key=True, autoincrement=False),
        sa.Column("finding", sa.BigInteger, nullable=False),
        sa.Column("agent", sa.String(32), nullable=False),
        sa.Column("id", text(128), nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("received_at_ns", sa.BigInteger, nullable=False, index=True),
        sa.Column("task_arn", text(512), nullable=False),
        sa.Column("collector", text(64), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("agent", "id"),
    )
    op.create_index("occurrences_finding", "occurrences", ["finding", "position"])
    op.create_index("occurrences_task", "occurrences", ["task_arn", "finding"])
    own, columns = sa.text("collector <> ''"), ["collector", "position"]
    op.create_index("occurrences_own", "occurrences", columns, sqlite_where=own, postgresql_where=own)


_TEXTS = {
    "assignee": 256,
    "type": 256,
    "rule": 256,
    "account": 32,
    "region": 32,
    "cluster": 256,
    "family": 256,
    "container": 256,
    "image": 512,
    "process": 256,
    "executable": 512,
}


def _triage() -> None:
    op.create_table(
        "notes",
        sa.Column("number", _number(), primary_key=True, autoincrement=False),
        sa.Column("finding", sa.BigInteger, nullable=False, index=True),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("who", text(256), nullable=False),
        sa.Column("said", sa.Text, nullable=False),
    )
    op.create_table(
        "suppressions",
        sa.Column("number", _number(), primary_key=True, autoincrement=False),
        sa.Column("made_at_ns", sa.BigInteger, nullable=False),
        sa.Column("who", text(256), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("expires_at_ns", sa.BigInteger, nullable=False),
        sa.Column("removed_at_ns", sa.BigInteger, nullable=False),
        sa.Column("conditions", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", _number(), primary_key=True, autoincrement=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False, index=True),
        sa.Column("who", text(256), nullable=False),
        sa.Column("action", text(64), nullable=False),
        sa.Column("subject", text(256), nullable=False, index=True),
        sa.Column("detail", sa.LargeBinary, nullable=False),
    )


def _enrolment() -> None:
    op.create_table(
        "enrolments",
        sa.Column("agent", sa.String(32), primary_key=True),
        sa.Column("subject", sa.Text, nullable=False, index=True),
        sa.Column("proofs", sa.String(16), nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("token", sa.String(16), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("contested", sa.Boolean, nullable=False),
    )
    op.create_table("subjects", sa.Column("subject", sa.Text, primary_key=True))
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("made_at_ns", sa.BigInteger, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("expires_at_ns", sa.BigInteger, nullable=False),
        sa.Column("max_uses", sa.BigInteger, nullable=False),
        sa.Column("uses", sa.BigInteger, nullable=False),
        sa.Column("last_used_ns", sa.BigInteger, nullable=False),
        sa.Column("revoked_at_ns", sa.BigInteger, nullable=False),
        sa.Column("revoked_by", sa.Text, nullable=False),
    )
    enrolments.name_subjects(op.get_bind())


def _threat_lists() -> None:
    op.create_table(
        "threat_lists",
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False, index=True),
        sa.Column("contents", sa.String(64), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "list_entries",
        sa.Column("list", text(64), primary_key=True),
        sa.Column("kind", text(8), primary_key=True),
        sa.Column("value", text(256), primary_key=True),
        sa.Column("number", _number(), nullable=False, unique=True),
        sa.Column("category", text(32), nullable=False),
        sa.Column("trusted", sa.Boolean, nullable=False),
        sa.Column("expires_at_ns", sa.BigInteger, nullable=False),
        sa.Column("made_at_ns", sa.BigInteger, nullable=False),
        sa.Column("who", text(256), nullable=False),
        sa.Column("why", text(512), nullable=False),
    )


def _collectors() -> None:
    op.create_table(
        "collectors",
        sa.Column("collector", sa.String(64), primary_key=True),
        sa.Column("alive_at_ns", sa.BigInteger, nullable=False),
        sa.Column("heard_until_ns", sa.BigInteger, nullable=False),
    )


def _exports() -> None:
    op.create_table(
        "exports",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("sent", sa.BigInteger, nullable=False),
        sa.Column("sent_at_ns", sa.BigInteger, nullable=False),
        sa.Column("forgotten", sa.BigInteger, nullable=False),
        sa.Column("failing_since_ns", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_table(
        "export_items",
        sa.Column("export", sa.String(64), primary_key=True),
        sa.Column("finding", sa.String(32), primary_key=True),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("due_ns", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("export_items_due", "export_items", ["export", "status", "due_ns"])


def _number() -> "sa.types.TypeEngine[int]":
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
