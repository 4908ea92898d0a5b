"""Suppression rules, as they are matched: a rule holds when all of its conditions do. Pure, but for loading them."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection, RowMapping, select

from outrider_collector.store.folding import workload_of
from outrider_collector.store.tables import suppressions
from outrider_wire.findings import Finding

Operator = Literal["=", "!=", "contains", "startswith", "in", "glob"]

EVIDENCE: Final = "evidence."
MAX_RULES: Final = 1000
"""Most suppression rules at once: each finding is held against all."""
MAX_CONDITIONS: Final = 16
MAX_VALUE: Final = 1024

_Value = Annotated[str, Meta(max_length=MAX_VALUE)]


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    """One field of a finding compared; `value` is a list for `in` and text for all other operators.

    A field with several values, such as `tags`, holds when one of them does; `!=` when none is equal.
    """

    field: Annotated[str, Meta(max_length=256)]
    operator: Operator
    value: _Value | Annotated[list[_Value], Meta(min_length=1, max_length=256)]


class Suppression(Struct, frozen=True, kw_only=True):
    """A rule that keeps findings from those who triage. `expires_at_ns` 0 means never; so does `removed_at_ns`."""

    number: int
    who: str
    why: str
    made_at_ns: int
    expires_at_ns: int
    conditions: list[Condition]
    removed_at_ns: int = 0


_FIELDS: Final[dict[str, Callable[[Finding], str | list[str]]]] = {
    "type": lambda f: f.type,
    "rule": lambda f: f.rule,
    "severity": lambda f: f.severity,
    "title": lambda f: f.title,
    "description": lambda f: f.description,
    "tags": lambda f: f.tags,
    "agent": lambda f: f.agent,
    "account": lambda f: workload_of(f.task).account,
    "region": lambda f: workload_of(f.task).region,
    "cluster": lambda f: workload_of(f.task).cluster,
    "family": lambda f: f.task.family if f.task else "",
    "task": lambda f: f.task.arn if f.task else "",
    "container": lambda f: f.container.name if f.container else "",
    "image": lambda f: f.container.image if f.container else "",
    "process": lambda f: f.process.name if f.process else "",
    "executable": lambda f: f.process.exe if f.process else "",
    "command_line": lambda f: f.process.cmdline if f.process else "",
    "parent": lambda f: f.process.ancestry[0].exe if f.process and f.process.ancestry else "",
    "directory": lambda f: f.process.cwd if f.process else "",
    "uid": lambda f: str(f.process.uid) if f.process else "",
}
"""Fields that a condition may name, beside those of the evidence as `evidence.NAME`."""

FIELDS: Final = (*_FIELDS, EVIDENCE + "NAME")


def check_conditions(conditions: list[Condition]) -> None:
    """Raises ValueError for none at all, too many, an unknown field, or a value of the wrong kind."""
    if not 1 <= len(conditions) <= MAX_CONDITIONS:
        raise ValueError(f"a suppression rule has from 1 to {MAX_CONDITIONS} conditions")
    for each in conditions:
        if each.field not in _FIELDS and not (each.field.startswith(EVIDENCE) and len(each.field) > len(EVIDENCE)):
            raise ValueError(f"no field {each.field!r}; there are {', '.join(FIELDS)}")
        if isinstance(each.value, list) != (each.operator == "in"):
            raise ValueError(f"{each.field} {each.operator}: a list of texts belongs to `in`, one text to the others")


def holds(condition: Condition, finding: Finding) -> bool:
    """Whether a condition holds for a finding."""
    values = field_values(condition.field, finding)
    if condition.operator == "!=":
        return condition.value not in values
    return any(_compare(condition, value) for value in values)


def field_values(field: str, finding: Finding) -> list[str]:
    """The values of a field; one empty text where the finding has none."""
    if field.startswith(EVIDENCE):
        found = finding.evidence.get(field[len(EVIDENCE) :])
        if isinstance(found, bool):
            return ["true" if found else "false"]
        value = found if isinstance(found, list) else "" if found is None else str(found)
    else:
        value = _FIELDS[field](finding)
    return (value or [""]) if isinstance(value, list) else [value]


def _compare(condition: Condition, value: str) -> bool:
    wanted = condition.value
    if isinstance(wanted, list):
        return value in wanted
    match condition.operator:
        case "contains":
            return wanted in value
        case "startswith":
            return value.startswith(wanted)
        case "glob":
            return fnmatchcase(value, wanted)
        case _:
            return value == wanted


class Matcher(Struct, frozen=True):
    """The rules that may hold today, the oldest first."""

    rules: list[Suppression]

    def find(self, finding: Finding, now_ns: int) -> int:
        """The number of the first rule that holds, or 0."""
        for rule in self.rules:
            if rule.expires_at_ns and rule.expires_at_ns <= now_ns:
                continue
            if all(holds(condition, finding) for condition in rule.conditions):
                return rule.number
        return 0


def load_matcher(connection: Connection) -> Matcher:
    """The rules that were not removed."""
    query = select(suppressions).where(suppressions.c.removed_at_ns == 0).order_by(suppressions.c.number)
    return Matcher([read_rule(row) for row in connection.execute(query.limit(MAX_RULES)).mappings()])


def read_rule(row: RowMapping) -> Suppression:
    """A rule from its row."""
    values = {name: row[name] for name in Suppression.__struct_fields__}
    return Suppression(**values | {"conditions": msgspec.json.decode(row["conditions"], type=list[Condition])})
