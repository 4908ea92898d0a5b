"""The audit log: written by each operation that changes something, in the same transaction; and asked for."""

from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from outrider_collector.api.cursors import read_number, write_cursor
from outrider_collector.api.operation import Call, Operation
from outrider_collector.api.parameters import Cursor, Limit, Text, Time, read_time
from outrider_collector.store.audit import AuditEntry, AuditFilter, list_audit, record
from outrider_collector.store.stored import MAX_NS
from outrider_wire.timestamps import to_rfc3339


class AuditView(Struct, frozen=True, kw_only=True):
    """One change: who made it, when, what of, what it was before and after, and what else was said."""

    at: str
    who: str
    action: str
    subject: str
    before: Any
    after: Any
    detail: dict[str, str]


class AuditAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of the log: of somebody, of one subject, of one kind of action, of a time."""

    who: Text = ""
    subject: Text = ""
    action: Text = ""
    since: Time = ""
    until: Time = ""
    limit: Limit = 100
    cursor: Cursor = ""


class AuditPage(Struct, frozen=True):
    """Changes, the latest first; `next` is the cursor of the page after it, empty at the end."""

    changes: list[AuditView]
    next: str


def write_audit(
    connection: Connection, call: Call[Any, Any], action: str, subject: str, *, before: Any = None, after: Any = None
) -> None:
    """Write down what a call changed. The last thing to do in its transaction."""
    detail = {
        name: msgspec.json.encode(value).decode()
        for name, value in (("before", before), ("after", after))
        if value is not None
    }
    record(connection, call.caller.name, action, [subject], at_ns=call.now_ns, detail=detail)


def ask_audit(connection: Connection, call: Call[AuditAsked, None]) -> AuditPage:
    """A page of the log."""
    asked = call.query
    wanted = AuditFilter(
        who=asked.who,
        action=asked.action,
        subject=asked.subject,
        since_ns=read_time(asked.since),
        until_ns=read_time(asked.until, otherwise_ns=MAX_NS),
        before=read_number(asked.cursor, MAX_NS),
        limit=asked.limit,
    )
    found = list_audit(connection, wanted)
    more = write_cursor(found[-1].number) if len(found) == asked.limit else ""
    return AuditPage([_view(entry) for entry in found], more)


def _view(entry: AuditEntry) -> AuditView:
    return AuditView(
        at=to_rfc3339(entry.at_ns),
        who=entry.who,
        action=entry.action,
        subject=entry.subject,
        before=_read(entry.detail.get("before")),
        after=_read(entry.detail.get("after")),
        detail={name: text for name, text in entry.detail.items() if name not in ("before", "after")},
    )


def _read(text: str | None) -> Any:
    """What was written as JSON; text that is none as it is."""
    try:
        return None if text is None else msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/audit",
        role="admin",
        summary="Who changed what and when, the latest first",
        query=AuditAsked,
        answer=AuditPage,
        ask=ask_audit,
    ),
)
