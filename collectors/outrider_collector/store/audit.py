"""The audit log: who changed what, and when. Written in the transaction of the change itself, and never changed."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, insert, select

from outrider_collector.store.feed import take_numbers
from outrider_collector.store.stored import MAX_NS
from outrider_collector.store.tables import audit
from outrider_collector.store.texts import column

COLLECTOR: Final = "collector"
"""Who changes what nobody asked for, such as a finding that comes back."""


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change. `action` is `thing.verb`, `subject` the id or number of the thing, `detail` what else there is."""

    number: int
    at_ns: int
    who: str
    action: str
    subject: str
    detail: dict[str, str] = {}


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which entries; empty means any. `before` is a number to go on from, the newest come first."""

    who: str = ""
    action: str = ""
    subject: str = ""
    since_ns: int = 0
    until_ns: int = MAX_NS
    before: int = MAX_NS
    limit: int = 100


def record(
    connection: Connection,
    who: str,
    action: str,
    subjects: Sequence[str],
    *,
    at_ns: int,
    detail: dict[str, str] | None = None,
) -> None:
    """Write that somebody did the same to each of these things."""
    record_each(connection, who, action, [(subject, detail or {}) for subject in subjects], at_ns=at_ns)


def record_each(
    connection: Connection, who: str, action: str, changes: Sequence[tuple[str, dict[str, str]]], *, at_ns: int
) -> None:
    """Write what somebody did to things, each with its own detail; `before` and `after` in it are JSON."""
    if not changes:
        return
    rows = [
        {
            "number": number,
            "at_ns": at_ns,
            "who": column(who, 256),
            "action": column(action, 64),
            "subject": column(subject, 256),
            "detail": msgspec.json.encode(detail),
        }
        for number, (subject, detail) in zip(take_numbers(connection, len(changes)), changes, strict=True)
    ]
    connection.execute(insert(audit), rows)


def list_audit(connection: Connection, asked: AuditFilter) -> list[AuditEntry]:
    """Entries, the newest first."""
    wanted = select(audit).where(audit.c.number < min(asked.before, MAX_NS))
    for name in ("who", "action", "subject"):
        if value := getattr(asked, name):
            wanted = wanted.where(audit.c[name] == column(value, 256))
    if asked.since_ns > 0:
        wanted = wanted.where(audit.c.at_ns >= min(asked.since_ns, MAX_NS))
    if asked.until_ns < MAX_NS:
        wanted = wanted.where(audit.c.at_ns < asked.until_ns)
    rows = connection.execute(wanted.order_by(audit.c.number.desc()).limit(asked.limit)).mappings()
    return [AuditEntry(**{**row, "detail": msgspec.json.decode(row["detail"], type=dict[str, str])}) for row in rows]
