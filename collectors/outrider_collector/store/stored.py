"""A finding as the store has it: what its latest occurrence said, how often and when it was seen, and what was done."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Row, Select, select

from outrider_collector.store.tables import findings, occurrences
from outrider_wire.findings import Finding, Severity

State = Literal["new", "archived", "suppressed"]
"""archived: dealt with. suppressed: a rule keeps it from those who triage; it is counted and exported as it says."""

RANKS: Final[dict[Severity, int]] = {"LOW": 1, "MEDIUM": 2, "HIGH": 3}
MAX_NS: Final = (1 << 63) - 1
"""Latest time, and highest number, that a column holds."""


class StoredFinding(Struct, frozen=True, kw_only=True):
    """One finding. `id` is the same for ever, also after a restart or on another collector.

    `number` is its place in the store, `change` the number of its latest change; `first_seen_ns` and `last_seen_ns`
    are by the agents' clocks, no later than ours. `suppressed_by` is a rule's number or 0. `finding` is what the
    latest occurrence said, under that one's own id, task and agent.
    """

    id: str
    number: int
    change: int
    count: int
    first_seen_ns: int
    last_seen_ns: int
    state: State
    archived_at_ns: int
    suppressed_by: int
    assignee: str
    account: str
    region: str
    cluster: str
    finding: Finding


class Occurrence(Struct, frozen=True, kw_only=True):
    """One time that it was told: by which agent, under which id, and what it said then."""

    position: int
    agent: str
    id: str
    at_ns: int
    received_at_ns: int
    task_arn: str
    finding: Finding


_SHOWN: Final = [name for name in StoredFinding.__struct_fields__ if name != "finding"]
_decode = msgspec.json.Decoder(Finding).decode


def stored() -> "Select[Any]":
    """Findings with what their latest occurrence said; `read_stored` reads the rows."""
    columns = [findings.c[name] for name in _SHOWN]
    both = findings.join(occurrences, occurrences.c.position == findings.c.latest)
    return select(*columns, occurrences.c.body).select_from(both)


def numbered(connection: Connection, numbers: Sequence[int]) -> list[StoredFinding]:
    """The findings of these numbers, in this order; one that was removed meanwhile is left out."""
    rows = connection.execute(stored().where(findings.c.number.in_(numbers)))
    found = {each.number: each for each in map(read_stored, rows)}
    return [found[number] for number in numbers if number in found]


def read_stored(row: "Row[Any]") -> StoredFinding:
    """A finding from a row of `stored`."""
    values: dict[str, Any] = dict(zip(_SHOWN, row[:-1], strict=True))
    return StoredFinding(**values, finding=_decode(row.body))


def load_finding(connection: Connection, name: str) -> StoredFinding | None:
    """The finding of an id, or None."""
    row = connection.execute(stored().where(findings.c.id == name)).first()
    return read_stored(row) if row else None


def load_occurrences(
    connection: Connection, number: int, *, before: int = MAX_NS, limit: int = 100
) -> list[Occurrence]:
    """The occurrences of a finding by its number, the latest told first; `before` is a position to go on from."""
    wanted = select(*(occurrences.c[name] for name in Occurrence.__struct_fields__[:-1]), occurrences.c.body)
    wanted = wanted.where(occurrences.c.finding == number, occurrences.c.position < before)
    rows = connection.execute(wanted.order_by(occurrences.c.position.desc()).limit(limit)).all()
    names = Occurrence.__struct_fields__
    return [Occurrence(**dict(zip(names, (*row[:-1], _decode(row.body)), strict=True))) for row in rows]


def read_changes(connection: Connection, after: int, *, limit: int = 100) -> list[StoredFinding]:
    """Findings that changed after a number, in the order of their changes: go on from the last one's `change`.

    Nothing with a smaller number can still come (`feed.py`). One that changed several times is there once, as it is.
    """
    wanted = stored().where(findings.c.change > after).order_by(findings.c.change).limit(limit)
    return [read_stored(row) for row in connection.execute(wanted)]
