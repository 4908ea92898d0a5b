"""Findings in the store: written once each, and asked for."""

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, select

from outrider_collector.store.database import insert_new
from outrider_collector.store.tables import findings
from outrider_wire.findings import Finding
from outrider_wire.timestamps import from_rfc3339


class FindingQuery(Struct, frozen=True, kw_only=True):
    """What to look for: at most `limit`, at or after `since_ns`, with a type that begins with `type_prefix`.

    Without `after` the newest are meant; with it, those stored after that cursor, oldest first.
    """

    limit: int = 100
    since_ns: int = 0
    type_prefix: str = ""
    after: int | None = None


class FindingPage(Struct, frozen=True):
    """Findings, oldest first, as JSON; `cursor` asks for what comes after them."""

    findings: list[msgspec.Raw]
    cursor: int


def save_findings(connection: Connection, received_at_ns: int, found: list[Finding]) -> None:
    """Write findings that are not there yet; `agent` and `id` make one the same as another."""
    insert_new(connection, findings, [_row(finding, received_at_ns) for finding in found])


def query_findings(connection: Connection, query: FindingQuery) -> FindingPage:
    """The findings asked for."""
    order = findings.c.position.desc() if query.after is None else findings.c.position.asc()
    wanted = select(findings.c.position, findings.c.body).order_by(order).limit(query.limit)
    if query.since_ns:
        wanted = wanted.where(findings.c.at_ns >= query.since_ns)
    if query.type_prefix:
        wanted = wanted.where(findings.c.type.startswith(query.type_prefix, autoescape=True))
    if query.after is not None:
        wanted = wanted.where(findings.c.position > query.after)
    rows = sorted((row[0], row[1]) for row in connection.execute(wanted))
    cursor = rows[-1][0] if rows else query.after or 0
    return FindingPage([msgspec.Raw(body) for _, body in rows], cursor)


def _row(finding: Finding, received_at_ns: int) -> dict[str, object]:
    return {
        "agent": finding.agent,
        "id": finding.id[:128],
        "at_ns": _at_ns(finding.at, received_at_ns),
        "received_at_ns": received_at_ns,
        "type": finding.type[:256],
        "rule": finding.rule[:256],
        "severity": finding.severity,
        "task_arn": finding.task.arn if finding.task else "",
        "container": finding.container.id[:128] if finding.container else "",
        "body": msgspec.json.encode(finding),
    }


def _at_ns(at: str, received_at_ns: int) -> int:
    """An agent's time, or ours where it cannot be read: no finding is refused for its clock."""
    try:
        return from_rfc3339(at)
    except ValueError:
        return received_at_ns
