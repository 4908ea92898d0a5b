"""Pages of findings: filtered, in the order of when they were last seen or how severe they are, by keyset."""

import base64
from typing import Literal

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, literal, select, tuple_

from outrider_collector.store.filtering import FindingFilter, Plan, make_plan
from outrider_collector.store.stored import RANKS, StoredFinding, numbered
from outrider_collector.store.tables import findings
from outrider_wire.errors import WireError

Sort = Literal["last_seen", "severity"]


class ListQuery(Struct, frozen=True, kw_only=True):
    """A page: which findings, in which order (the latest or the most severe first), how many, from which cursor on."""

    filter: FindingFilter = FindingFilter()
    sort: Sort = "last_seen"
    limit: int = 100
    cursor: str = ""


class FindingList(Struct, frozen=True):
    """A page of findings; `next` is the cursor of the one after it, empty at the end."""

    findings: list[StoredFinding]
    next: str


class _Cursor(Struct, frozen=True, array_like=True):
    """The last finding of a page, as far as its order goes."""

    sort: Sort
    severity: int
    last_seen_ns: int
    number: int


def list_findings(connection: Connection, query: ListQuery) -> FindingList:
    """A page of findings. Raises WireError `bad-request` for a cursor that is none of ours.

    By severity it is up to three walks, one for each.
    """
    after = _read_cursor(query.cursor, query.sort) if query.cursor else None
    plan, wanted = make_plan(connection, query.filter), query.limit + 1
    if query.sort == "last_seen":
        found = _take(connection, plan, None, after, wanted)
    else:
        found = []
        for rank in sorted((RANKS[each] for each in query.filter.severities or RANKS), reverse=True):
            if len(found) < wanted and (after is None or rank <= after.severity):
                begin = after if after is not None and rank == after.severity else None
                found += _take(connection, plan, rank, begin, wanted - len(found))
    page = found[: query.limit]
    following = _write_cursor(_Cursor(query.sort, *page[-1])) if len(found) == wanted and page else ""
    return FindingList(numbered(connection, [number for *_, number in page]), following)


_Key = tuple[int, int, int]
"""A finding's place: severity, when it was last seen, number."""


def _take(connection: Connection, plan: Plan, rank: int | None, after: _Cursor | None, limit: int) -> list[_Key]:
    """So many findings after the cursor, the latest seen first, of one severity or of those asked for."""
    wanted = select(findings.c.severity, findings.c.last_seen_ns, findings.c.number)
    wanted = wanted.where(*plan.conditions(connection, rank))
    if after is not None:
        key = tuple_(findings.c.last_seen_ns, findings.c.number)
        wanted = wanted.where(key < tuple_(literal(after.last_seen_ns), literal(after.number)))
    seen = findings.c.last_seen_ns + 0 if plan.is_few else findings.c.last_seen_ns
    ordered = wanted.order_by(seen.desc(), findings.c.number.desc()).limit(limit)
    return [(row[0], row[1], row[2]) for row in connection.execute(ordered)]


def _write_cursor(last: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(last)).decode().rstrip("=")


def _read_cursor(text: str, sort: Sort) -> _Cursor:
    try:
        raw = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
        cursor = msgspec.json.decode(raw, type=_Cursor)
    except (ValueError, msgspec.MsgspecError) as error:
        raise WireError("bad-request", "the cursor is none of ours") from error
    if cursor.sort != sort or not all(0 <= n < 1 << 63 for n in (cursor.last_seen_ns, cursor.number)):
        raise WireError("bad-request", "the cursor belongs to another order")
    return cursor
