"""Findings written: each that is told is kept as an occurrence, once, and folds into its finding.

The state of a finding after one more occurrence: one that matches a suppression rule is suppressed; one that was
archived before it happened is new again; one whose rule has expired or was removed is new again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, bindparam, insert, select, tuple_, update

from outrider_collector.integrity import ID_PREFIX
from outrider_collector.store.asking import FindingPage, FindingQuery, query_findings
from outrider_collector.store.audit import COLLECTOR, record
from outrider_collector.store.feed import take_numbers
from outrider_collector.store.folding import fold_id, workload_of
from outrider_collector.store.stored import MAX_NS, RANKS, State
from outrider_collector.store.suppressing import Matcher, load_matcher
from outrider_collector.store.tables import LONGEST, findings, occurrences
from outrider_collector.store.texts import as_column, column, words_of
from outrider_wire.findings import Finding
from outrider_wire.timestamps import from_rfc3339

__all__ = ["FindingPage", "FindingQuery", "Told", "query_findings", "save_findings", "save_told"]

CHUNK: Final = 500
"""Most values in one question to the database."""

Row = dict[str, Any]


class Told(Struct, frozen=True):
    """A finding as it was told, and when it came."""

    received_at_ns: int
    finding: Finding


def save_findings(connection: Connection, received_at_ns: int, found: list[Finding], *, collector: str = "") -> None:
    """Write findings that are not there yet; `agent` and `id` make one the same as another."""
    save_told(connection, [Told(received_at_ns, finding) for finding in found], collector=collector)


def save_told(connection: Connection, told: Sequence[Told], *, collector: str = "") -> None:
    """Write what was told, each once. The last thing to do in a transaction: from here on others wait for its end.

    `collector` is who says so of its own findings: it is the one that brings them into the lake.
    """
    fresh = {(each.finding.agent, column(each.finding.id, 128)): each for each in reversed(told)}
    if not fresh:
        return
    numbers = iter(take_numbers(connection, len(fresh)))
    for agent_and_id in _known(connection, list(fresh)):
        del fresh[agent_and_id]
    ordered = list(reversed(fresh.values()))
    if ordered:
        _fold(connection, ordered, [next(numbers) for _ in ordered], collector)


def _fold(connection: Connection, told: list[Told], positions: list[int], collector: str) -> None:
    ids = [fold_id(each.finding) for each in told]
    there, matcher = _load(connection, sorted(set(ids))), load_matcher(connection)
    new: dict[str, Row] = {}
    changed: dict[str, Row] = {}
    kept: list[Row] = []
    for each, name, position in zip(told, ids, positions, strict=True):
        before = new.get(name) or changed.get(name) or there.get(name)
        after = _after(before, each, position, matcher) | {"id": name}
        (changed if name in there else new)[name] = after
        kept.append(_occurrence(each, after["number"], position, collector))
    back = [name for name, row in changed.items() if there[name]["state"] == "archived" != row["state"]]
    if new:
        connection.execute(insert(findings), list(new.values()))
    if changed:
        connection.execute(_UPDATE, [{**row, "by_number": row["number"]} for row in changed.values()])
    connection.execute(insert(occurrences), kept)
    record(connection, COLLECTOR, "finding.reopen", back, at_ns=max(each.received_at_ns for each in told))


_UPDATE = (
    update(findings)
    .where(findings.c.number == bindparam("by_number"))
    .values({c.name: bindparam(c.name) for c in findings.c if c.name not in ("number", "id")})
)


_FRESH: Final[Row] = {"count": 0, "state": "new", "archived_at_ns": 0, "assignee": ""}


def _after(before: Mapping[str, Any] | None, told: Told, position: int, matcher: Matcher) -> Row:
    """The finding's row after one more occurrence: what it says is what the latest one said."""
    finding = told.finding
    at_ns = min(_at_ns(finding, told), told.received_at_ns)
    if before is None:
        before = _FRESH | {"number": position, "first_seen_ns": at_ns, "last_seen_ns": at_ns}
    suppressed_by = matcher.find(finding, told.received_at_ns)
    state = _state(before["state"], suppressed_by, at_ns > before["archived_at_ns"])
    return row_of(finding) | {
        "number": before["number"],
        "change": position,
        "latest": position,
        "count": before["count"] + max(min(finding.count, 1 << 31), 1),
        "first_seen_ns": min(before["first_seen_ns"], at_ns),
        "last_seen_ns": max(before["last_seen_ns"], at_ns),
        "state": state,
        "archived_at_ns": before["archived_at_ns"],
        "suppressed_by": suppressed_by if state == "suppressed" else 0,
        "assignee": before["assignee"],
    }


def _state(before: State, suppressed_by: int, is_later: bool) -> State:
    if before == "archived" and not is_later:
        return "archived"
    return "suppressed" if suppressed_by else "new"


def row_of(finding: Finding) -> Row:
    """The columns that follow from what a finding says."""
    where, container, process = workload_of(finding.task), finding.container, finding.process
    return {
        "severity": RANKS[finding.severity],
        "type": column(finding.type, 256),
        "rule": column(finding.rule, 256),
        "account": column(where.account, 32),
        "region": column(where.region, 32),
        "cluster": column(where.cluster, 256),
        "family": column(where.family, 256),
        "container": column(container.name, 256) if container else "",
        "image": column(container.image, LONGEST) if container else "",
        "process": column(process.name, 256) if process else "",
        "executable": column(process.exe, LONGEST) if process else "",
        "words": as_column(words_of(finding)),
    }


def _occurrence(told: Told, number: int, position: int, collector: str) -> Row:
    finding = told.finding
    return {
        "position": position,
        "finding": number,
        "agent": finding.agent,
        "id": column(finding.id, 128),
        "at_ns": _at_ns(finding, told),
        "received_at_ns": told.received_at_ns,
        "task_arn": column(finding.task.arn, LONGEST) if finding.task else "",
        "collector": collector if finding.id.startswith(ID_PREFIX) else "",
        "body": msgspec.json.encode(finding),
    }


def _known(connection: Connection, keys: list[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """Those of the occurrences that are there already."""
    both = tuple_(occurrences.c.agent, occurrences.c.id)
    for begin in range(0, len(keys), CHUNK):
        wanted = select(occurrences.c.agent, occurrences.c.id).where(both.in_(keys[begin : begin + CHUNK]))
        yield from ((agent, name) for agent, name in connection.execute(wanted).all())


def _load(connection: Connection, ids: list[str]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    columns = [c for c in findings.c if c.name != "words"]
    for begin in range(0, len(ids), CHUNK):
        wanted = select(*columns).where(findings.c.id.in_(ids[begin : begin + CHUNK]))
        found |= {row["id"]: dict(row) for row in connection.execute(wanted).mappings()}
    return found


def _at_ns(finding: Finding, told: Told) -> int:
    """An agent's time, or ours where it cannot be read: no finding is refused for its clock."""
    try:
        return min(from_rfc3339(finding.at), MAX_NS)
    except ValueError:
        return told.received_at_ns
