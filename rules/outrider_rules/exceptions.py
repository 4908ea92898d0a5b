"""Exceptions of a rule: fields, how each is compared, and tuples of values for which the rule is not to hold.

    exceptions:
      - name: known_writers
        fields: [proc.name, fd.name]
        comps: [=, startswith]          # `=` for each where left out; `in` for a single field
        values:
          - [logrotate, /var/log/]
          - [rsyslogd, [/var/log/messages, /var/log/secure]]
      - name: trusted
        fields: container.image.repository
        values: [example/one, example/two]

An exception without values says only which fields a later file may give values for.
"""

import re

from outrider_rules.document import Node, Scalar, Sequence
from outrider_rules.nodes import Problems, note, read_keys, read_scalar, read_scalars, refuse_unknown
from outrider_rules.problems import nearest, shown
from outrider_rules.syntax import LIST_OPERATORS, MODIFIABLE, MODIFIERS, SYMBOLS, WORD_OPERATORS

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)+(?:\[[^ \s\[\]\"']+\])?")
_BARE = re.compile(r"""[^\s(),="'\\][^\s(),=\\]*""")
_WITH_MODIFIER = frozenset(f"{operator} {modifier}" for operator in MODIFIABLE for modifier in MODIFIERS)
_SINGLE = frozenset(LIST_OPERATORS) | _WITH_MODIFIER
_OPERATORS = frozenset({*SYMBOLS, *WORD_OPERATORS} - {"exists"}) | _WITH_MODIFIER

Row = list[Scalar | list[Scalar]]


class ExceptionDraft:
    """One exception: `single` where `fields` is one field and not a list of them."""

    def __init__(self, name: Scalar, fields: list[Scalar], comps: list[str], rows: list[Row], *, single: bool) -> None:
        self.name = name
        self.fields = fields
        self.comps = comps
        self.rows = rows
        self.single = single

    def condition(self) -> str:
        """The condition under which the rule is not to hold, in the language; empty without values."""
        if not self.rows or not self.fields:
            return ""
        if self.single:
            values = ", ".join(_written(value) for row in self.rows for value in row)
            return f"({self.fields[0].value} {self.comps[0]} ({values}))"
        return "(" + " or ".join(self._row(row) for row in self.rows) + ")"

    def _row(self, row: Row) -> str:
        tests = (
            f"{field.value} {comp} {_written(value, listed=comp in _SINGLE)}"
            for field, comp, value in zip(self.fields, self.comps, row, strict=True)
        )
        return "(" + " and ".join(tests) + ")"

    @staticmethod
    def merge(old: "list[ExceptionDraft]", new: "list[ExceptionDraft]") -> "list[ExceptionDraft]":
        """Appended exceptions: values go to the exception of the same name, whose fields and comps stay."""
        merged = {exception.name.value: exception for exception in old}
        for exception in new:
            known = merged.get(exception.name.value)
            if known is None:
                merged[exception.name.value] = exception
            else:
                merged[exception.name.value] = ExceptionDraft(
                    known.name, known.fields, known.comps, [*known.rows, *exception.rows], single=known.single
                )
        return list(merged.values())


def refuse_misfits(known: list[ExceptionDraft], given: list[ExceptionDraft], problems: Problems) -> None:
    """Note exceptions without fields, and additions that do not fit the `known` ones they add to."""
    named = {exception.name.value: exception for exception in known}
    for exception in given:
        name = shown(exception.name.value)
        base = named.get(exception.name.value)
        if base is None:
            if not exception.fields:
                hint = nearest(exception.name.value, named) or "such as `fields: [proc.name]`"
                note(problems, exception.name, f"the exception `{name}` has no fields", hint)
            continue
        if exception.fields and _names(exception) != _names(base):
            note(problems, exception.name, f"the fields of the exception `{name}` can be replaced, not added to")
        elif not base.single and any(len(row) != len(base.fields) for row in exception.rows):
            fields = ", ".join(_names(base))
            note(problems, exception.name, f"each row of values of `{name}` must have one for each of {fields}")


def _names(exception: ExceptionDraft) -> list[str]:
    return [field.value for field in exception.fields]


def _written(value: Scalar | list[Scalar], *, listed: bool = False) -> str:
    """A value as a condition writes it. Bare ones stay bare, so that they may name lists."""
    if isinstance(value, list):
        return "(" + ", ".join(_written(item) for item in value) + ")"
    text = value.value
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if quoted or _BARE.fullmatch(text):
        word = text
    else:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
        word = f'"{escaped}"'
    return f"({word})" if listed else word


def read_exceptions(node: Node, what: str, problems: Problems) -> list[ExceptionDraft] | None:
    """The exceptions of a rule, or of an addition to one."""
    if not isinstance(node, Sequence):
        note(problems, node, f"{what} must be a list")
        return None
    found: dict[str, ExceptionDraft] = {}
    for item in node.items:
        exception = _read_exception(item, problems)
        if exception is None:
            continue
        if exception.name.value in found:
            note(problems, item, f"the exception `{shown(exception.name.value)}` is given twice")
        found[exception.name.value] = exception
    return list(found.values())


def _read_exception(node: Node, problems: Problems) -> ExceptionDraft | None:
    before = len(problems)
    keys = read_keys(node, "an exception", problems)
    refuse_unknown(keys, ("name", "fields", "comps", "values"), "an exception", problems)
    if "name" not in keys:
        if len(problems) == before:
            note(problems, node, "an exception must have a name")
        return None
    name = read_scalar(keys["name"][1], "name", problems)
    single = "fields" in keys and isinstance(keys["fields"][1], Scalar)
    fields = _one_or_more(keys.get("fields"), "fields", problems)
    for field in fields:
        if not _FIELD.fullmatch(field.value):
            note(problems, field, f"`{shown(field.value)}` is no field")
    comps = _read_comps(keys.get("comps"), len(fields), problems, single=single)
    rows = _read_rows(keys["values"][1], problems) if "values" in keys else []
    if name is None or len(problems) > before:
        return None
    for row in rows:
        if fields and not single and len(row) != len(fields):
            note(problems, keys["values"][1], f"each row of values must have {len(fields)}, one for each field")
            return None
    return ExceptionDraft(name, fields, comps, rows, single=single)


def _one_or_more(entry: tuple[Scalar, Node] | None, what: str, problems: Problems) -> list[Scalar]:
    if entry is None:
        return []
    node = entry[1]
    if isinstance(node, Scalar):
        scalar = read_scalar(node, what, problems)
        return [scalar] if scalar else []
    return read_scalars(node, what, problems) or []


def _read_comps(entry: tuple[Scalar, Node] | None, count: int, problems: Problems, *, single: bool) -> list[str]:
    if entry is None:
        return ["in"] if single else ["="] * count
    comps = _one_or_more(entry, "comps", problems)
    for comp in comps:
        if " ".join(comp.value.split()) not in (_SINGLE if single else _OPERATORS):
            listed = (*LIST_OPERATORS, "such as `startswith anyof`")
            known = ", ".join(listed if single else sorted(_OPERATORS - _WITH_MODIFIER))
            hint = nearest(comp.value, _SINGLE if single else _OPERATORS)
            note(problems, comp, f"`{shown(comp.value)}` cannot compare here", hint or f"one of {known}")
    if len(comps) != count:
        note(problems, entry[0], f"comps must have one operator for each of {count} fields")
    return [" ".join(comp.value.split()) for comp in comps]


def _read_rows(node: Node, problems: Problems) -> list[Row]:
    if not isinstance(node, Sequence):
        note(problems, node, "values must be a list")
        return []
    rows: list[Row] = []
    for item in node.items:
        if isinstance(item, Scalar):
            rows.append([item])
        elif isinstance(item, Sequence):
            row: Row = []
            for value in item.items:
                if isinstance(value, Scalar):
                    row.append(value)
                else:
                    row.append(read_scalars(value, "a value", problems) or [])
            rows.append(row)
        else:
            note(problems, item, "a value must be a text or a list")
    return rows
