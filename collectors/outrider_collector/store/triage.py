"""Triage: what people do to findings. Each change gives a finding a new `change` number, and the audit log an entry.

All functions are for a `writing` transaction. Ids that are not there are left out of what is given back.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, bindparam, insert, select, update

from outrider_collector.store.audit import record_each
from outrider_collector.store.feed import take_numbers
from outrider_collector.store.tables import findings, notes
from outrider_collector.store.texts import column

MAX_CHANGED: Final = 1000
"""Most findings changed at once."""
MAX_NOTE: Final = 16_384
MAX_NOTES: Final = 1000
"""Most notes of one finding."""

Row = dict[str, Any]


class Note(Struct, frozen=True, kw_only=True):
    """What somebody said of a finding."""

    number: int
    at_ns: int
    who: str
    said: str


def archive(connection: Connection, ids: Sequence[str], *, who: str, at_ns: int, why: str = "") -> list[str]:
    """Take findings as dealt with, until they happen again. Gives back the ids of those that were not archived yet."""

    def change(row: Row) -> Row | None:
        return (
            None if row["state"] == "archived" else {"state": "archived", "suppressed_by": 0, "archived_at_ns": at_ns}
        )

    return _change(connection, ids, change, "finding.archive", who=who, at_ns=at_ns, detail={"why": why} if why else {})


def reopen(connection: Connection, ids: Sequence[str], *, who: str, at_ns: int) -> list[str]:
    """Make archived and suppressed findings new again, and give back their ids.

    A suppression rule that still holds takes it away again at its next occurrence.
    """

    def change(row: Row) -> Row | None:
        return None if row["state"] == "new" else {"state": "new", "suppressed_by": 0, "archived_at_ns": 0}

    return _change(connection, ids, change, "finding.reopen", who=who, at_ns=at_ns)


def assign(connection: Connection, ids: Sequence[str], *, to: str, who: str, at_ns: int) -> list[str]:
    """Make findings somebody's, or nobody's where `to` is empty. Gives back the ids of those that were not theirs."""
    assignee = column(to, 256)

    def change(row: Row) -> Row | None:
        return None if row["assignee"] == assignee else {"assignee": assignee}

    return _change(connection, ids, change, "finding.assign", who=who, at_ns=at_ns, detail={"to": to})


def add_note(connection: Connection, name: str, said: str, *, who: str, at_ns: int) -> Note | None:
    """Say something of a finding by its id; None where there is none, or where it has MAX_NOTES already."""
    (number,) = take_numbers(connection, 1)
    finding = connection.execute(select(findings.c.number).where(findings.c.id == name)).scalar()
    if finding is None or len(load_notes(connection, finding)) >= MAX_NOTES:
        return None
    note = Note(number=number, at_ns=at_ns, who=column(who, 256), said=column(said, MAX_NOTE))
    row = {field: getattr(note, field) for field in note.__struct_fields__}
    connection.execute(insert(notes), [row | {"finding": finding}])
    _change(connection, [name], lambda _: {}, "finding.note", who=who, at_ns=at_ns, detail={"note": str(number)})
    return note


def load_notes(connection: Connection, finding: int) -> list[Note]:
    """The notes of a finding by its number, the first one first."""
    query = select(*(notes.c[name] for name in Note.__struct_fields__)).where(notes.c.finding == finding)
    return [Note(**row) for row in connection.execute(query.order_by(notes.c.number).limit(MAX_NOTES)).mappings()]


def change_rows(connection: Connection, changed: Sequence[Row]) -> None:
    """Update state, suppression and assignee of findings by `number`, and give each a new change number."""
    if not changed:
        return
    numbers = take_numbers(connection, len(changed))
    rows = [
        {
            "by_number": row["number"],
            "change": number,
            "state": row["state"],
            "suppressed_by": row["suppressed_by"],
            "archived_at_ns": row["archived_at_ns"],
            "assignee": row["assignee"],
        }
        for number, row in zip(numbers, changed, strict=True)
    ]
    connection.execute(_UPDATE, rows)


_CHANGED: Final = ("change", "state", "suppressed_by", "archived_at_ns", "assignee")
_UPDATE: Final = (
    update(findings)
    .where(findings.c.number == bindparam("by_number"))
    .values({name: bindparam(name) for name in _CHANGED})
)


def _change(
    connection: Connection,
    ids: Sequence[str],
    change: Callable[[Row], Row | None],
    action: str,
    *,
    who: str,
    at_ns: int,
    detail: dict[str, str] | None = None,
) -> list[str]:
    """Change those that `change` has something new for, and write it down. Raises ValueError for too many."""
    if len(ids) > MAX_CHANGED:
        raise ValueError(f"{len(ids)} findings at once; at most {MAX_CHANGED} can be changed")
    take_numbers(connection, 1)  # nobody else changes them from here on
    columns = (findings.c.number, findings.c.id, *(findings.c[name] for name in _CHANGED[1:]))
    query = select(*columns).where(findings.c.id.in_(list(ids))).order_by(findings.c.number)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    changed = [row | new for row in rows if (new := change(row)) is not None]
    change_rows(connection, changed)
    before = {row["id"]: _as_it_was(row) for row in rows}
    said = [(row["id"], (detail or {}) | {"before": before[row["id"]], "after": _as_it_was(row)}) for row in changed]
    record_each(connection, who, action, said, at_ns=at_ns)
    return [row["id"] for row in changed]


def _as_it_was(row: Row) -> str:
    return msgspec.json.encode({"state": row["state"], "assignee": row["assignee"]}).decode()
