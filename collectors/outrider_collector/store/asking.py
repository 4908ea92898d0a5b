"""What was told, read back one by one in the order in which it came."""

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, select

from outrider_collector.store.tables import findings, occurrences


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


def query_findings(connection: Connection, query: FindingQuery) -> FindingPage:
    """What was told, repeats not folded."""
    order = occurrences.c.position.desc() if query.after is None else occurrences.c.position.asc()
    wanted = select(occurrences.c.position, occurrences.c.body).order_by(order).limit(query.limit)
    if query.since_ns:
        wanted = wanted.where(occurrences.c.at_ns >= query.since_ns)
    if query.type_prefix:
        of_type = findings.c.type.startswith(query.type_prefix, autoescape=True)
        wanted = wanted.join(findings, findings.c.number == occurrences.c.finding).where(of_type)
    if query.after is not None:
        wanted = wanted.where(occurrences.c.position > query.after)
    rows = sorted((row[0], row[1]) for row in connection.execute(wanted))
    cursor = rows[-1][0] if rows else query.after or 0
    return FindingPage([msgspec.Raw(body) for _, body in rows], cursor)
