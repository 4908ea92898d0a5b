"""What a walk has done, for people and for programs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from outrider_cdk.deploying.definitions import short
from outrider_cdk.deploying.walk import Outcome, Row
from outrider_cdk.rewriting import show_path

ORDER: Final[tuple[Outcome, ...]] = (
    "guarded",
    "removed",
    "registered",
    "unchanged",
    "left out",
    "unguarded",
    "refused",
    "failed",
)
"""What went well first, what wants somebody last, where a terminal ends."""


def line(row: Row) -> str:
    """One service in one line."""
    who = f"{row.cluster}/{row.service}" if row.service else short(row.definition)
    who = f"{row.cluster}: {who}" if row.cluster and not row.service else who
    parts = [f"{row.outcome:<10} {who}"]
    change = f"{short(row.definition)} -> {short(row.registered)}"
    if row.registered:
        parts = [*parts, f"({change})"] if row.service else [f"{row.outcome:<10} {change}"]
    parts += [f"deployment {row.deployment}"] if row.deployment else []
    return " ".join(parts) + (f": {row.why}" if row.why else "")


def table(rows: Sequence[Row]) -> str:
    """Every row, and one line of counts."""
    counts = Counter(row.outcome for row in rows)
    lines = [line(row) for outcome in ORDER for row in rows if row.outcome == outcome]
    total = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ORDER if counts[outcome])
    return "\n".join([*lines, total or "nothing was found"])


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as JSON."""
    return [
        {
            "cluster": row.cluster,
            "service": row.service,
            "definition": row.definition,
            "outcome": row.outcome,
            "why": row.why,
            "registered": row.registered,
            "deployment": row.deployment,
            "problems": [
                {
                    "path": show_path(problem.path),
                    "code": problem.code,
                    "severity": problem.severity,
                    "says": problem.says,
                    "remedy": problem.remedy,
                }
                for problem in row.problems
            ],
        }
        for row in rows
    ]
