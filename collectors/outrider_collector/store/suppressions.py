"""Suppression rules made, listed, applied to what is there, and taken away. How they match is in `suppressing`.

A rule works on what is indexed while it holds. What was there before is suppressed by `apply_suppression`, and what a
rule took away comes back by `release_suppression`, or by itself: at the next occurrence after the rule has expired or
was removed. Nothing is deleted, and all is counted.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, func, insert, select, update

from outrider_collector.store.audit import record
from outrider_collector.store.database import writing
from outrider_collector.store.feed import take_numbers
from outrider_collector.store.stored import RANKS
from outrider_collector.store.suppressing import MAX_RULES, Condition, Matcher, Suppression, check_conditions, read_rule
from outrider_collector.store.tables import findings, occurrences, suppressions
from outrider_collector.store.texts import column
from outrider_collector.store.triage import change_rows
from outrider_wire.findings import Finding

MAX_WHY: Final = 4096
CHUNK: Final = 1000
"""Findings looked at, or changed, in one transaction."""

Row = dict[str, Any]

_BY_COLUMN: Final = (
    "type",
    "rule",
    "account",
    "region",
    "cluster",
    "family",
    "container",
    "image",
    "process",
    "executable",
)
"""Fields whose equality the database itself can look for."""


def add_suppression(
    connection: Connection, conditions: list[Condition], *, who: str, why: str, at_ns: int, expires_at_ns: int = 0
) -> Suppression:
    """Make a rule; 0 means that it never expires. Raises ValueError for conditions that are none, or too many rules."""
    check_conditions(conditions)
    (number,) = take_numbers(connection, 1)
    kept = select(func.count()).select_from(suppressions).where(suppressions.c.removed_at_ns == 0)
    if connection.execute(kept).scalar_one() >= MAX_RULES:
        raise ValueError(f"there are {MAX_RULES} suppression rules already; remove some")
    rule = Suppression(
        number=number,
        who=column(who, 256),
        why=column(why, MAX_WHY),
        made_at_ns=at_ns,
        expires_at_ns=expires_at_ns,
        conditions=conditions,
    )
    row = {name: getattr(rule, name) for name in rule.__struct_fields__}
    connection.execute(insert(suppressions), [row | {"conditions": msgspec.json.encode(conditions)}])
    detail = {"why": rule.why, "conditions": msgspec.json.encode(conditions).decode()}
    record(connection, who, "suppression.add", [str(number)], at_ns=at_ns, detail=detail)
    return rule


def remove_suppression(connection: Connection, number: int, *, who: str, at_ns: int) -> bool:
    """Take a rule away; whether it was there. What it suppressed stays so until its next occurrence."""
    take_numbers(connection, 1)
    removed = update(suppressions).where(suppressions.c.number == number, suppressions.c.removed_at_ns == 0)
    if not connection.execute(removed.values(removed_at_ns=at_ns)).rowcount:
        return False
    record(connection, who, "suppression.remove", [str(number)], at_ns=at_ns)
    return True


def list_suppressions(connection: Connection, *, removed: bool = False) -> list[Suppression]:
    """The rules, the oldest first; expired ones too, and where asked for those that were removed."""
    query = select(suppressions).order_by(suppressions.c.number.desc()).limit(MAX_RULES)
    if not removed:
        query = query.where(suppressions.c.removed_at_ns == 0)
    return [read_rule(row) for row in connection.execute(query).mappings()][::-1]


def load_suppression(connection: Connection, number: int) -> Suppression | None:
    """The rule of a number, or None."""
    row = connection.execute(select(suppressions).where(suppressions.c.number == number)).mappings().first()
    return read_rule(row) if row else None


def apply_suppression(engine: Engine, number: int, *, who: str, at_ns: int) -> int:
    """Suppress the new findings that a rule matches by their latest occurrence; how many, 0 for a rule that is gone.

    In many short transactions: others index meanwhile.
    """
    with engine.connect() as connection:
        rule = load_suppression(connection, number)
    if rule is None or rule.removed_at_ns:
        return 0
    matcher, after, done = Matcher([rule]), 0, 0
    while True:
        with engine.connect() as connection:
            some = _new_findings(connection, rule, after)
        if not some:
            break
        after = some[-1][0]
        matching = [found for found, finding in some if matcher.find(finding, at_ns)]
        done += _change_state(engine, matching, "new", {"state": "suppressed", "suppressed_by": number})
    with writing(engine) as connection:
        record(connection, who, "suppression.apply", [str(number)], at_ns=at_ns, detail={"findings": str(done)})
    return done


def release_suppression(engine: Engine, number: int, *, who: str, at_ns: int) -> int:
    """Make all findings new again that a rule suppressed; how many. A rule that still holds takes them back in time."""
    done, after = 0, 0
    held = (findings.c.state == "suppressed", findings.c.suppressed_by == number)
    while True:
        with engine.connect() as connection:
            query = select(findings.c.number).where(*held, findings.c.number > after)
            some = list(connection.execute(query.order_by(findings.c.number).limit(CHUNK)).scalars())
        if not some:
            break
        after = some[-1]
        done += _change_state(engine, some, "suppressed", {"state": "new", "suppressed_by": 0})
    with writing(engine) as connection:
        record(connection, who, "suppression.release", [str(number)], at_ns=at_ns, detail={"findings": str(done)})
    return done


def _new_findings(connection: Connection, rule: Suppression, after: int) -> list[tuple[int, Finding]]:
    """The next new findings by number that the database cannot tell to be no match."""
    both = findings.join(occurrences, occurrences.c.position == findings.c.latest)
    query = select(findings.c.number, occurrences.c.body).select_from(both)
    query = query.where(findings.c.state == "new", findings.c.number > after, *_by_column(rule))
    rows = connection.execute(query.order_by(findings.c.number).limit(CHUNK)).all()
    return [(row[0], msgspec.json.decode(row[1], type=Finding)) for row in rows]


def _by_column(rule: Suppression) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for each in rule.conditions:
        values = each.value if isinstance(each.value, list) else [each.value]
        if each.operator not in ("=", "in"):
            continue
        if each.field in _BY_COLUMN:
            length = findings.c[each.field].type.length  # type: ignore[attr-defined]
            conditions.append(findings.c[each.field].in_([column(value, length) for value in values]))
        elif each.field == "severity":
            conditions.append(findings.c.severity.in_([RANKS[v] for v in values if v in RANKS]))
    return conditions


def _change_state(engine: Engine, numbers: list[int], before: str, new: Row) -> int:
    """Change those that still are in the state they were seen in."""
    if not numbers:
        return 0
    with writing(engine) as connection:
        take_numbers(connection, 1)
        query = select(findings.c.number, findings.c.archived_at_ns, findings.c.assignee).order_by(findings.c.number)
        still = query.where(findings.c.number.in_(numbers), findings.c.state == before)
        changed = [{**row, **new} for row in connection.execute(still).mappings()]
        change_rows(connection, changed)
        return len(changed)
