"""Lists by hand over HTTP: entries added, taken away and asked for, each change in the audit log."""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection

from outrider_collector.api.cursors import read_number, write_cursor
from outrider_collector.api.operation import Call, Operation
from outrider_collector.api.parameters import Cursor, Limit, Text, Time, read_expiry
from outrider_collector.api.views import shown_time
from outrider_collector.lists.by_hand import read_values
from outrider_collector.lists.sources import CATEGORY, DEFAULT_CATEGORY, TRUSTED
from outrider_collector.store.audit import record_each
from outrider_collector.store.list_entries import Key, ListEntry, load_entries, remove_entries, save_entries
from outrider_collector.store.texts import column
from outrider_wire.errors import WireError
from outrider_wire.timestamps import to_rfc3339

MAX_VALUES: Final = 500
MAX_VALUE: Final = 400
"""Most values of one request, and the longest of them: together they fit into a body."""

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}"
"""Shorter than a source's: a label has room for 64 characters, and says first that it is by hand."""

Name = Annotated[str, Meta(max_length=48, extra_json_schema={"pattern": f"^{NAME}$"})]
Category = Annotated[str, Meta(max_length=32, description="default `malicious`; none where `trusted`")]
Values = Annotated[
    list[Annotated[str, Meta(max_length=MAX_VALUE)]],
    Meta(min_length=1, max_length=MAX_VALUES, description="domains, addresses, networks, digests"),
]


class NewEntries(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Entries to be listed: all alike, and all of them or none. One that is there already is changed."""

    list: Name
    values: Values
    category: Category = ""
    trusted: bool = False
    expires_at: Time = ""
    why: Text = ""


class OldEntries(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Entries to be taken away: all of them or none."""

    list: Name
    values: Values
    why: Text = ""


class EntryView(Struct, frozen=True, kw_only=True):
    """An entry, as it was understood: a URL is its host. `expires_at` empty is never."""

    list: str
    kind: str
    value: str
    category: str
    trusted: bool
    expires_at: str
    made_at: str
    who: str
    why: str


class EntryList(Struct, frozen=True):
    """Entries that were added or taken away."""

    entries: list[EntryView]


class EntriesAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of entries, of one list or of all."""

    list: Text = ""
    limit: Limit = 100
    cursor: Cursor = ""


class EntryPage(Struct, frozen=True):
    """Entries, those changed longest ago first; `next` is the cursor of the page after it, empty at the end."""

    entries: list[EntryView]
    next: str


def ask_entries(connection: Connection, call: Call[EntriesAsked, None]) -> EntryPage:
    """A page of entries."""
    asked = call.query
    found = load_entries(connection, name=asked.list, after=read_number(asked.cursor, 0), limit=asked.limit)
    more = write_cursor(found[-1].number) if len(found) == asked.limit else ""
    return EntryPage([_view(entry) for entry in found], more)


def add(connection: Connection, call: Call[EntriesAsked, NewEntries]) -> EntryList:
    """List values by hand."""
    asked = call.body
    expires_at_ns = read_expiry(asked.expires_at, call.now_ns)
    category = _category(asked)
    entries = [
        ListEntry(
            list=asked.list,
            kind=kind,
            value=value,
            category=category,
            trusted=asked.trusted,
            expires_at_ns=expires_at_ns,
            made_at_ns=call.now_ns,
            who=column(call.caller.name, 256),
            why=asked.why,
        )
        for kind, value in _read(asked)
    ]
    try:
        before = save_entries(connection, entries, now_ns=call.now_ns)
    except ValueError as error:
        raise WireError("too-many", str(error)) from error
    changes = [(entry.value, _detail(entry.list, asked.why, before.get(entry.key), entry)) for entry in entries]
    record_each(connection, call.caller.name, "list.add", changes, at_ns=call.now_ns)
    return EntryList([_view(entry) for entry in entries])


def remove(connection: Connection, call: Call[EntriesAsked, OldEntries]) -> EntryList:
    """Take values off a list by hand."""
    asked = call.body
    keys: list[Key] = [(asked.list, kind, value) for kind, value in _read(asked)]
    before = remove_entries(connection, keys)
    if missing := [key[2] for key in keys if key not in before]:
        raise WireError("not-found", f"the list by hand {asked.list!r} has no {', '.join(missing[:3])}")
    removed = [before[key] for key in keys]
    changes = [(entry.value, _detail(entry.list, asked.why, entry, None)) for entry in removed]
    record_each(connection, call.caller.name, "list.remove", changes, at_ns=call.now_ns)
    return EntryList([_view(entry) for entry in removed])


def _read(asked: NewEntries | OldEntries) -> list[tuple[str, str]]:
    """What a request names. Raises WireError."""
    if not re.fullmatch(NAME, asked.list):
        raise WireError("bad-request", f"list: {asked.list!r}: a name is of letters, digits, dot, dash and underscore")
    try:
        return [*read_values(asked.values)]
    except ValueError as error:
        raise WireError("bad-request", str(error)) from error


def _category(asked: NewEntries) -> str:
    if asked.trusted:
        if asked.category:
            raise WireError("bad-request", "category: what is trusted has none; leave out one of the two")
        return ""
    category = asked.category or DEFAULT_CATEGORY
    if not CATEGORY.fullmatch(category) or category == TRUSTED:
        raise WireError("bad-request", f"category: {category!r} is no word such as `c2`; for trust give `trusted`")
    return category


def _detail(name: str, why: str, before: ListEntry | None, after: ListEntry | None) -> dict[str, str]:
    """What the audit log says of one entry."""
    said = {"list": name} | ({"why": why} if why else {})
    for when, entry in (("before", before), ("after", after)):
        if entry is not None:
            said[when] = msgspec.json.encode(_view(entry)).decode()
    return said


def _view(entry: ListEntry) -> EntryView:
    return EntryView(
        list=entry.list,
        kind=entry.kind,
        value=entry.value,
        category=entry.category,
        trusted=entry.trusted,
        expires_at=shown_time(entry.expires_at_ns),
        made_at=to_rfc3339(entry.made_at_ns),
        who=entry.who,
        why=entry.why,
    )


_PATH: Final = "/v1/list-entries"

OPERATIONS: Final = (
    Operation(
        method="GET",
        path=_PATH,
        role="read",
        summary="What was listed by hand",
        query=EntriesAsked,
        answer=EntryPage,
        ask=ask_entries,
    ),
    Operation(
        method="POST",
        path=_PATH,
        role="triage",
        summary="List domains, networks or digests by hand, or trust them",
        body=NewEntries,
        answer=EntryList,
        status=201,
        writes=True,
        refusals=("too-many",),
        ask=add,
    ),
    Operation(
        method="POST",
        path=_PATH + "/remove",
        role="triage",
        summary="Take what was listed by hand off its list",
        body=OldEntries,
        answer=EntryList,
        writes=True,
        refusals=("not-found",),
        ask=remove,
    ),
)
