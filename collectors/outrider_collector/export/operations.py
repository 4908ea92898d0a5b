"""Exports in the API: how each stands, what was given up, and having it tried again."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from sqlalchemy import Connection

from outrider_collector.api.audited import write_audit
from outrider_collector.api.operation import Call, Nothing, Operation
from outrider_collector.api.parameters import Limit
from outrider_collector.api.suppressions import Done
from outrider_collector.api.views import shown_time
from outrider_collector.store.exports import (
    ExportRow,
    ask_retry,
    count_items,
    list_dead,
    load_export,
    load_exports,
)
from outrider_collector.store.feed import newest_change
from outrider_wire.errors import WireError

MAX_IDS: Final = 1000

ExportName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
FindingId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]


class ExportView(Struct, frozen=True, kw_only=True):
    """One export, which every collector on the store shares. `holder` is the id of the collector that does it.

    `behind` counts changes it has yet to look at, some of which may concern it not; `waiting` findings go later, since
    they repeat or failed; `dead` ones were given up; `forgotten` ones were, before so many others that they are not
    kept. `failing_since` is empty while the target takes what it is sent, and `error` says why it did not.
    """

    name: str
    holder: str
    behind: int
    sent: int
    sent_at: str
    waiting: int
    dead: int
    forgotten: int
    failing_since: str
    error: str


class ExportList(Struct, frozen=True):
    """All exports there ever were, by name."""

    exports: list[ExportView]


class DeadFinding(Struct, frozen=True, kw_only=True):
    """A finding that was given up: its id, when, after how many tries, and what the target said."""

    finding: str
    at: str
    tries: int
    reason: str


class DeadAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latest so many."""

    limit: Limit = 100


class DeadList(Struct, frozen=True):
    """Findings that were given up, the latest first."""

    dead: list[DeadFinding]


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Findings by their ids; all that were given up where there are none."""

    findings: Annotated[list[FindingId], Meta(max_length=MAX_IDS)] = []


def ask_exports(connection: Connection, call: Call[Nothing, None]) -> ExportList:
    """How they stand."""
    del call
    newest = newest_change(connection)
    return ExportList([_view(connection, row, newest) for row in load_exports(connection)])


def ask_dead(connection: Connection, call: Call[DeadAsked, None]) -> DeadList:
    """What was given up."""
    _find(connection, call)
    return DeadList(
        [
            DeadFinding(finding=item.finding, at=shown_time(item.due_ns), tries=item.tries, reason=item.reason)
            for item in list_dead(connection, call.key, limit=call.query.limit)
        ]
    )


def retry(connection: Connection, call: Call[Nothing, Retry]) -> Done:
    """Have it tried again."""
    _find(connection, call)
    tried = ask_retry(connection, call.key, call.body.findings or None)
    write_audit(connection, call, "export.retry", call.key, after={"findings": tried})
    return Done(tried)


def _find(connection: Connection, call: Call[Any, Any]) -> ExportRow:
    row = load_export(connection, call.key)
    if row is None:
        raise WireError("not-found", f"there is no export {call.key}")
    return row


def _view(connection: Connection, row: ExportRow, newest: int) -> ExportView:
    return ExportView(
        name=row.name,
        holder=row.holder,
        behind=max(newest - row.position, 0),
        sent=row.sent,
        sent_at=shown_time(row.sent_at_ns),
        waiting=count_items(connection, row.name, "waits"),
        dead=count_items(connection, row.name, "dead"),
        forgotten=row.forgotten,
        failing_since=shown_time(row.failing_since_ns),
        error=row.error,
    )


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/exports",
        role="read",
        summary="Exports, and how each stands",
        answer=ExportList,
        ask=ask_exports,
    ),
    Operation(
        method="GET",
        path="/v1/exports/{name}/dead",
        role="read",
        summary="Findings that an export gave up",
        key=ExportName,
        query=DeadAsked,
        answer=DeadList,
        refusals=("not-found",),
        ask=ask_dead,
    ),
    Operation(
        method="POST",
        path="/v1/exports/{name}/retry",
        role="triage",
        summary="Try again what an export gave up",
        key=ExportName,
        body=Retry,
        answer=Done,
        writes=True,
        refusals=("not-found",),
        ask=retry,
    ),
)
