"""A rule that was loaded: what it is called, what it says, and what it shows of an event it held for."""

import re
from typing import Any, Final, Literal

from msgspec import Struct

from outrider_rules.catalogue import Value
from outrider_rules.interpret import holds, operand_value
from outrider_rules.output import Output
from outrider_rules.respond import Respond
from outrider_rules.tree import Checked, Operand

Severity = Literal["LOW", "MEDIUM", "HIGH"]

SEVERITY_OF: Final[dict[str, Severity]] = {
    **dict.fromkeys(("EMERGENCY", "ALERT", "CRITICAL", "ERROR"), "HIGH"),
    "WARNING": "MEDIUM",
    **dict.fromkeys(("NOTICE", "INFO", "DEBUG"), "LOW"),
}
"""The severity of a rule that gives none."""


class Rule(Struct, frozen=True, eq=False):
    """One rule. `armed` says whether it is evaluated at all, and `why_not` why it is not.

    `severity` is the rule's own or that of its priority; `finding` its own or `Custom:Runtime/` and its name;
    `event_types` are the values of `evt.type` it can hold for, None where that cannot be told. `output_fields` are
    the fields its output names, `fields` those and the ones its condition decides by. `fold` is the template of
    `fold_key`: findings of one rule with the same key are one finding told again. `respond` is what is to be done
    before the fact, besides telling. Rules are told apart by identity.
    """

    name: str
    finding: str
    severity: Severity
    priority: str
    title: str
    desc: str
    remedy: str
    tags: tuple[str, ...]
    enabled: bool
    source: str
    output: Output
    condition: Checked
    operands: tuple[Operand, ...]
    file: str
    line: int
    armed: bool = True
    why_not: str = ""
    sees: str = ""
    misses: str = ""
    noise: str = ""
    event_types: frozenset[str] | None = None
    fold: Output | None = None
    respond: Respond = ""

    @property
    def where(self) -> str:
        """The place of the rule: `file:line`."""
        return f"{self.file}:{self.line}"

    @property
    def output_fields(self) -> tuple[str, ...]:
        """Names of the fields in the output, in order, each once."""
        return tuple(dict.fromkeys(source.shown for operand in self.output.operands for source in operand.sources))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of all fields of condition and output, in order, each once."""
        return tuple(dict.fromkeys([*(operand.shown for operand in self.operands), *self.output_fields]))

    def render(self, context: Any) -> str:
        """The output filled in; an absent field shows as `<NA>`."""
        return self.output.render(context)

    def evidence(self, context: Any) -> dict[str, Value]:
        """The values of all its fields that the event has."""
        found: dict[str, Value] = {}
        shown = [source for operand in self.output.operands for source in operand.sources]
        for operand in (*self.operands, *shown):
            if operand.shown not in found:
                plain = Operand(operand.field, operand.index, (), operand.type, operand.is_list, operand.many)
                value = operand_value(plain, context)
                if value is not None:
                    found[operand.shown] = list(value) if isinstance(value, tuple) else value
        return found

    def fold_key(self, context: Any) -> str | None:
        """What repeats of this rule have in common: events with one key need be told of once. None: none do."""
        return self.fold.render(context) if self.fold is not None else None

    def holds(self, context: Any) -> bool:
        """Whether the condition holds, worked out the plain way: for tools, not for the engine."""
        return holds(self.condition, context)


def default_finding(name: str) -> str:
    """The type of finding of a rule that gives none: `Custom:Runtime/ReadSensitiveFile`."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return f"Custom:Runtime/{joined if joined[:1].isalpha() else 'Rule' + joined}"
