"""Triage: findings archived, opened again, assigned and written on. Each change is in the audit log."""

from typing import Annotated, Final

from msgspec import Meta, Struct
from sqlalchemy import Connection

from outrider_collector.api.findings import FindingId, NoteView, find, view_note
from outrider_collector.api.operation import Ask, Call, Nothing, Operation
from outrider_collector.store.triage import MAX_CHANGED, MAX_NOTE, add_note, archive, assign, reopen
from outrider_wire.errors import WireError

Ids = Annotated[list[FindingId], Meta(min_length=1, max_length=MAX_CHANGED)]
Why = Annotated[str, Meta(max_length=4096)]
Who = Annotated[str, Meta(max_length=256, pattern=r"^[^\u0000]*$")]
Said = Annotated[str, Meta(min_length=1, max_length=MAX_NOTE)]


class Archiving(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which findings are dealt with, and why."""

    ids: Ids
    why: Why = ""


class Reopening(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which findings are to be new again."""

    ids: Ids


class Assigning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which findings are whose; nobody's where `to` is empty."""

    ids: Ids
    to: Who


class NewNote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What there is to say of a finding."""

    said: Said


class Changed(Struct, frozen=True):
    """The ids of those that changed; the others were so already, or are not there."""

    changed: list[str]


def archive_findings(connection: Connection, call: Call[Nothing, Archiving]) -> Changed:
    """Archive."""
    asked = call.body
    return Changed(archive(connection, asked.ids, who=call.caller.name, at_ns=call.now_ns, why=asked.why))


def reopen_findings(connection: Connection, call: Call[Nothing, Reopening]) -> Changed:
    """Open again."""
    return Changed(reopen(connection, call.body.ids, who=call.caller.name, at_ns=call.now_ns))


def assign_findings(connection: Connection, call: Call[Nothing, Assigning]) -> Changed:
    """Assign."""
    asked = call.body
    return Changed(assign(connection, asked.ids, to=asked.to, who=call.caller.name, at_ns=call.now_ns))


def note(connection: Connection, call: Call[Nothing, NewNote]) -> NoteView:
    """Write a note."""
    find(connection, call.key)
    made = add_note(connection, call.key, call.body.said, who=call.caller.name, at_ns=call.now_ns)
    if made is None:
        raise WireError("too-many", "this finding has as many notes as it may")
    return view_note(made)


def _operation(verb: str, summary: str, body: type[Struct], ask: Ask) -> Operation:
    return Operation(
        method="POST",
        path=f"/v1/triage/{verb}",
        role="triage",
        summary=summary,
        body=body,
        answer=Changed,
        writes=True,
        ask=ask,
    )


OPERATIONS: Final = (
    _operation("archive", "Take findings as dealt with, until they happen again", Archiving, archive_findings),
    _operation("reopen", "Make archived and suppressed findings new again", Reopening, reopen_findings),
    _operation("assign", "Make findings somebody's", Assigning, assign_findings),
    Operation(
        method="POST",
        path="/v1/findings/{id}/notes",
        role="triage",
        summary="Say something of a finding",
        key=FindingId,
        body=NewNote,
        answer=NoteView,
        status=201,
        writes=True,
        refusals=("not-found", "too-many"),
        ask=note,
    ),
)
