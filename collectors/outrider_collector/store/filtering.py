"""Which findings are asked for, and the conditions for it, put so that a page of them is quick on both engines.

Every filter of equality has an index in which equal values lie in the order of the page (`tables.WALKED`), so a page is
a walk along one of them that stops when it is full. Which one is decided here: the filter that the fewest findings
pass, as far as counting to PROBED tells. The others are compared on the way, and written so that the database does not
go by their index. What only few findings pass by words, by the beginning of a type or by a task is looked up instead.
"""

from typing import Any, Final

from msgspec import Struct
from sqlalchemy import ClauseElement, ColumnElement, Connection, Executable, Select, and_, exists, false, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from outrider_collector.store import fulltext
from outrider_collector.store.stored import MAX_NS, RANKS, State
from outrider_collector.store.tables import LONGEST, findings, occurrences
from outrider_collector.store.texts import asked_words, column
from outrider_wire.findings import Severity

PROBED: Final = 20_000
"""So far the findings that pass a filter are counted to find the rarest."""
FEW: Final = 10_000
"""So many are looked up one by one and put in order; where more pass, a walk finds enough of them sooner."""
LAST: Final = "\U0010ffff"
"""No text that begins with a prefix comes after the prefix with this."""

EQUAL: Final = (
    "executable",
    "process",
    "container",
    "image",
    "rule",
    "family",
    "assignee",
    "cluster",
    "account",
    "region",
)
"""Filters of equality, the one that most likely is the rarest first."""


class FindingFilter(Struct, frozen=True, kw_only=True):
    """Which findings: all that is given must hold, empty means any.

    `type_prefix` is the beginning of a type, or all of it. `since_ns` and `until_ns` bound when it was last seen, the
    latter outside. `task` is an ARN that one of its occurrences came from. `text` are words that
    the finding has, in any order; `word*` is the beginning of one. Everything else is equal to its column.
    """

    severities: tuple[Severity, ...] = ()
    states: tuple[State, ...] = ()
    type_prefix: str = ""
    rule: str = ""
    account: str = ""
    region: str = ""
    cluster: str = ""
    family: str = ""
    task: str = ""
    container: str = ""
    image: str = ""
    process: str = ""
    executable: str = ""
    assignee: str = ""
    since_ns: int = 0
    until_ns: int = MAX_NS
    text: str = ""


class _Lookup(Struct, frozen=True):
    """A filter that is no equality: the numbers that pass, where an index names them, and the same compared."""

    named: "Select[int] | None"
    compared: ColumnElement[bool]


class Plan(Struct, frozen=True):
    """How a filter is put. `is_few`: some of `others` names the few findings that can pass, so nothing is walked."""

    equal: dict[str, str | int]
    others: list[ColumnElement[bool]]
    is_few: bool

    def conditions(self, connection: Connection, rank: int | None = None) -> list[ColumnElement[bool]]:
        """The conditions, and one severity beside them where `rank` is given."""
        equal = self.equal if rank is None else self.equal | {"severity": rank}
        walked = "" if self.is_few else _rarest(connection, equal)
        return [*self.others, *(_equals(name, value, walked == name) for name, value in equal.items())]


def make_plan(connection: Connection, given: FindingFilter) -> Plan:
    """Decide how a filter is put, by a look at how many findings pass its parts."""
    lookups = _lookups(connection, given)
    counted = {i: _count(connection, each.named, FEW + 1) for i, each in enumerate(lookups) if each.named is not None}
    best = min(counted, key=lambda i: counted[i], default=-1)
    is_few = best >= 0 and counted[best] <= FEW
    others = _ranges(given)
    for i, each in enumerate(lookups):
        named = each.named if is_few and i == best else None
        others.append(each.compared if named is None else findings.c.number.in_(named.correlate(None)))
    return Plan(_equalities(given), others, is_few)


def _equalities(given: FindingFilter) -> dict[str, str | int]:
    equal: dict[str, str | int] = {}
    for name in EQUAL:
        if value := getattr(given, name):
            equal[name] = column(value, findings.c[name].type.length)  # type: ignore[attr-defined]
    if len(given.severities) == 1:
        equal["severity"] = RANKS[given.severities[0]]
    if len(given.states) == 1:
        equal["state"] = given.states[0]
    return equal


def _ranges(given: FindingFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if given.since_ns > 0:
        conditions.append(findings.c.last_seen_ns >= min(given.since_ns, MAX_NS))
    if given.until_ns < MAX_NS:
        conditions.append(findings.c.last_seen_ns < max(given.until_ns, 0))
    if len(given.severities) > 1:
        conditions.append(_apart(findings.c.severity.in_([RANKS[each] for each in given.severities])))
    if len(given.states) > 1:
        conditions.append(_apart(findings.c.state.in_(given.states)))
    return conditions


def _lookups(connection: Connection, given: FindingFilter) -> list[_Lookup]:
    lookups = []
    if given.type_prefix:
        prefix = column(given.type_prefix, 256)
        begins = and_(findings.c.type >= prefix, findings.c.type < prefix + LAST)
        lookups.append(_Lookup(select(findings.c.number).where(begins), _apart(begins)))
    if given.task:
        seen = occurrences.alias("seen")
        here = seen.c.task_arn == column(given.task, LONGEST)
        each = exists().where(here, seen.c.finding == findings.c.number)
        lookups.append(_Lookup(select(seen.c.finding).where(here), _apart(each)))
    if words := asked_words(given.text):
        lookups.append(_Lookup(fulltext.named(connection, words), _apart(fulltext.compared(connection, words))))
    return lookups


def _equals(name: str, value: str | int, is_walked: bool) -> ColumnElement[bool]:
    """Walked, or compared only. The index of assignees leaves out those who are nobody, and wants that to be said."""
    equals = findings.c[name] == value
    if not is_walked:
        return _apart(equals)
    return and_(equals, findings.c.assignee != "") if name == "assignee" else equals


def _apart(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same condition, for no index: SQLite sees none in it, and PostgreSQL takes it that half of all rows pass."""
    return func.coalesce(condition, false())


def _rarest(connection: Connection, equal: dict[str, str | int]) -> str:
    if len(equal) < 2:
        return next(iter(equal), "")
    rarest, fewest = next(iter(equal)), PROBED
    for name, value in equal.items():
        passing = _count(connection, select(findings.c.number).where(_equals(name, value, True)), fewest)
        if passing < fewest:
            rarest, fewest = name, passing
    return rarest


def _count(connection: Connection, numbers: "Select[int]", most: int) -> int:
    """How many there are, as far as it matters; on PostgreSQL, which keeps statistics, what it expects."""
    if connection.dialect.name == "postgresql":
        plan = connection.execute(_Explain(numbers)).scalar_one()
        return min(int(plan[0]["Plan"]["Plan Rows"]), most)
    counted: int = connection.execute(select(func.count()).select_from(numbers.limit(most).subquery())).scalar_one()
    return counted


class _Explain(Executable, ClauseElement):
    """What PostgreSQL expects of a query, without running it."""

    inherit_cache = False

    def __init__(self, query: "Select[int]") -> None:
        self.query = query


@compiles(_Explain, "postgresql")
def _compile_explain(element: _Explain, compiler: SQLCompiler, **given: Any) -> str:
    return "EXPLAIN (FORMAT JSON) " + compiler.process(element.query, **given)
