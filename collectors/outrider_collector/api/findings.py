"""Asking for findings: pages by filter, one with all that is known of it, and what was told one by one."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection

from outrider_collector.api.cursors import read_number, write_cursor
from outrider_collector.api.operation import Call, Nothing, Operation
from outrider_collector.api.parameters import Cursor, Limit, Text, Time, read_time
from outrider_collector.api.views import FindingView, OccurrenceView, view_finding, view_occurrence
from outrider_collector.store.asking import FindingQuery, query_findings
from outrider_collector.store.filtering import FindingFilter
from outrider_collector.store.listing import ListQuery, Sort, list_findings
from outrider_collector.store.stored import MAX_NS, State, StoredFinding, load_finding, load_occurrences
from outrider_collector.store.triage import Note, load_notes
from outrider_wire.errors import WireError
from outrider_wire.findings import Finding, Severity
from outrider_wire.timestamps import to_rfc3339

FindingId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]

States = Annotated[list[State], Meta(max_length=8)]
Severities = Annotated[list[Severity], Meta(max_length=8)]


class Common(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What findings are asked for by, in a page as in a stream: all that is given must hold.

    `type` is how one begins.
    """

    severity: Severities = []
    state: States = []
    type: Text = ""
    rule: Text = ""
    account: Text = ""
    region: Text = ""
    cluster: Text = ""
    family: Text = ""
    task: Text = ""
    container: Text = ""
    assignee: Text = ""


class Filter(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which findings of those there are; `text` are words, or `beginnings*`."""

    image: Text = ""
    process: Text = ""
    executable: Text = ""
    since: Time = ""
    until: Time = ""
    text: Text = ""


class Asked(Filter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of findings: filtered, sorted, from a cursor on."""

    sort: Sort = "last_seen"
    limit: Limit = 100
    cursor: Cursor = ""


class FindingsPage(Struct, frozen=True):
    """Findings; `next` is the cursor of the page after it, empty at the end."""

    findings: list[FindingView]
    next: str


class NoteView(Struct, frozen=True, kw_only=True):
    """What somebody wrote on a finding."""

    at: str
    who: str
    said: str


class FindingDetail(Struct, frozen=True, kw_only=True):
    """One finding with what was written on it and the latest of its occurrences."""

    finding: FindingView
    notes: list[NoteView]
    occurrences: list[OccurrenceView]


class PageAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page from a cursor on."""

    limit: Limit = 100
    cursor: Cursor = ""


class OccurrencesPage(Struct, frozen=True):
    """Occurrences, the latest first; `next` is the cursor of the page after it, empty at the end."""

    occurrences: list[OccurrenceView]
    next: str


class ToldAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was told: without `after` the newest, with it what came after that cursor."""

    limit: Limit = 100
    since: Time = ""
    type: Text = ""
    after: Cursor = ""


class ToldPage(Struct, frozen=True):
    """Findings one by one as their agents told them, oldest first; `cursor` asks for what comes after them."""

    findings: list[Finding]
    cursor: str


SHOWN_OCCURRENCES: Final = 20


def filter_of(asked: Filter) -> FindingFilter:
    """A filter as the store takes it. Raises WireError for a time that is none."""
    same = {name: getattr(asked, name) for name in Filter.__struct_fields__ if name in FindingFilter.__struct_fields__}
    return FindingFilter(
        **same,
        severities=tuple(asked.severity),
        states=tuple(asked.state),
        type_prefix=asked.type,
        since_ns=read_time(asked.since),
        until_ns=read_time(asked.until, otherwise_ns=MAX_NS),
    )


def find(connection: Connection, name: str) -> StoredFinding:
    """The finding of an id. Raises WireError `not-found`."""
    found = load_finding(connection, name)
    if found is None:
        raise WireError("not-found", f"there is no finding {name}")
    return found


def ask_findings(connection: Connection, call: Call[Asked, None]) -> FindingsPage:
    """A page of findings."""
    asked = call.query
    query = ListQuery(filter=filter_of(asked), sort=asked.sort, limit=asked.limit, cursor=asked.cursor)
    page = list_findings(connection, query)
    return FindingsPage([view_finding(each) for each in page.findings], page.next)


def ask_finding(connection: Connection, call: Call[Nothing, None]) -> FindingDetail:
    """One finding."""
    return detail_of(connection, find(connection, call.key))


def detail_of(connection: Connection, stored: StoredFinding) -> FindingDetail:
    """All that is known of a finding, but no more than the latest occurrences."""
    told = load_occurrences(connection, stored.number, limit=SHOWN_OCCURRENCES)
    return FindingDetail(
        finding=view_finding(stored),
        notes=[view_note(note) for note in load_notes(connection, stored.number)],
        occurrences=[view_occurrence(each) for each in told],
    )


def view_note(note: Note) -> NoteView:
    """A note as it is shown."""
    return NoteView(at=to_rfc3339(note.at_ns), who=note.who, said=note.said)


def ask_occurrences(connection: Connection, call: Call[PageAsked, None]) -> OccurrencesPage:
    """The occurrences of a finding."""
    before = read_number(call.query.cursor, MAX_NS)
    number = find(connection, call.key).number
    told = load_occurrences(connection, number, before=before, limit=call.query.limit)
    more = write_cursor(told[-1].position) if len(told) == call.query.limit else ""
    return OccurrencesPage([view_occurrence(each) for each in told], more)


def ask_told(connection: Connection, call: Call[ToldAsked, None]) -> ToldPage:
    """What was told."""
    asked = call.query
    query = FindingQuery(
        limit=asked.limit,
        since_ns=read_time(asked.since),
        type_prefix=asked.type,
        after=read_number(asked.after, 0) if asked.after else None,
    )
    page = query_findings(connection, query)
    return ToldPage([_decode(raw) for raw in page.findings], write_cursor(page.cursor))


def _decode(raw: msgspec.Raw) -> Finding:
    return msgspec.json.decode(raw, type=Finding)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/findings",
        role="read",
        summary="Findings, filtered, the latest or the most severe first",
        query=Asked,
        answer=FindingsPage,
        ask=ask_findings,
    ),
    Operation(
        method="GET",
        path="/v1/findings/{id}",
        role="read",
        summary="One finding with its notes and latest occurrences",
        key=FindingId,
        answer=FindingDetail,
        refusals=("not-found",),
        ask=ask_finding,
    ),
    Operation(
        method="GET",
        path="/v1/findings/{id}/occurrences",
        role="read",
        summary="Every time that a finding was told, the latest first",
        key=FindingId,
        query=PageAsked,
        answer=OccurrencesPage,
        refusals=("not-found",),
        ask=ask_occurrences,
    ),
    Operation(
        method="GET",
        path="/v1/occurrences",
        role="read",
        summary="What agents told, one by one in the order in which it came",
        query=ToldAsked,
        answer=ToldPage,
        ask=ask_told,
    ),
)
