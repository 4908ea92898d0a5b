"""Counts of what is in the store, for metrics. They read whole indexes: with a million findings, tenths of a second."""

from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Select, func, select

from outrider_collector.store.feed import newest_change
from outrider_collector.store.stored import RANKS
from outrider_collector.store.tables import agents, findings, gaps, suppressions

_NAMES = {rank: name for name, rank in RANKS.items()}


class StoreCounts(Struct, frozen=True, kw_only=True):
    """`change` is the newest change number: what an exporter has done by its own position is so far behind."""

    findings_by_state: dict[str, int]
    findings_by_severity: dict[str, int]
    agents_by_status: dict[str, int]
    silent_agents: int
    open_gaps: int
    suppressions: int
    change: int


def count_store(connection: Connection) -> StoreCounts:
    """Count."""

    def counted(query: "Select[int]") -> int:
        found: int = connection.execute(query).scalar_one()
        return found

    by_severity = _by(connection, findings.c.severity)
    silent = select(func.count()).select_from(agents).where(agents.c.told_silent, agents.c.status == "live")
    return StoreCounts(
        findings_by_state={"new": 0, "archived": 0, "suppressed": 0} | _by(connection, findings.c.state),
        findings_by_severity={name: by_severity.get(rank, 0) for rank, name in _NAMES.items()},
        agents_by_status={"live": 0, "succeeded": 0, "quarantined": 0} | _by(connection, agents.c.status),
        silent_agents=counted(silent),
        open_gaps=counted(select(func.count()).select_from(gaps)),
        suppressions=counted(select(func.count()).select_from(suppressions).where(suppressions.c.removed_at_ns == 0)),
        change=newest_change(connection),
    )


def _by(connection: Connection, column: "ColumnElement[Any]") -> "dict[Any, int]":
    rows = connection.execute(select(column, func.count()).group_by(column)).all()
    return {row[0]: row[1] for row in rows}
