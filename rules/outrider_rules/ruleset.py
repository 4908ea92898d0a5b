"""A loaded set of rules: an event in, the rules that hold out."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from outrider_rules.catalogue import Catalogue
from outrider_rules.compiler import Evaluate, compile_conditions
from outrider_rules.rule import Rule
from outrider_rules.specialise import OTHER_TYPES, Specialiser


class RuleRow(Struct, frozen=True, gc=False):
    """One line of `outrider rules list`. `armed` is `armed` or why it is not; `respond` is `deny` or nothing."""

    name: str
    finding: str
    severity: str
    priority: str
    armed: str
    where: str
    source: str
    tags: tuple[str, ...]
    respond: str = ""


class RuleSet:
    """Rules ready to meet events.

    For each type of event there is one compiled function of the rules that can hold for it. It is compiled when
    the first such event comes, or by `prepare`; types that neither a rule nor a field names share one.
    """

    def __init__(self, rules: Iterable[Rule], catalogue: Catalogue, types: frozenset[str]) -> None:
        self.rules: Sequence[Rule] = tuple(rules)
        self.catalogue = catalogue
        self.types = types
        self._programs: dict[str | None, Evaluate] = {}

    def __len__(self) -> int:
        return len(self.rules)

    def evaluate(self, event_type: str, context: Any) -> list[Rule]:
        """The armed rules that hold for an event, in their order. `event_type` is the value of its `evt.type`."""
        program = self._programs.get(event_type)
        if program is None:
            program = self._program(event_type if event_type in self.types else OTHER_TYPES)
        rules = self.rules
        return [rules[number] for number in program(context)]

    def prepare(self, event_types: Iterable[str]) -> None:
        """Compile now what the given types of event will need."""
        for event_type in event_types:
            self._program(event_type if event_type in self.types else OTHER_TYPES)

    def responding(self) -> "RuleSet":
        """The armed rules that are asked before the fact."""
        return RuleSet((rule for rule in self.rules if rule.armed and rule.respond), self.catalogue, self.types)

    def rules_for(self, event_type: str) -> list[Rule]:
        """The armed rules that an event of a type meets."""
        return [
            rule for rule in self.rules if rule.armed and (rule.event_types is None or event_type in rule.event_types)
        ]

    def _program(self, event_type: str | None) -> Evaluate:
        program = self._programs.get(event_type)
        if program is None:
            specialiser = Specialiser(event_type)
            cut = [(number, specialiser.cut(rule.condition)) for number, rule in enumerate(self.rules) if rule.armed]
            program = compile_conditions([(number, tree) for number, tree in cut if tree is not False])
            self._programs[event_type] = program
        return program


def describe(ruleset: RuleSet) -> list[RuleRow]:
    """The rows of `outrider rules list` and `outrider rules check`."""
    return [
        RuleRow(
            name=rule.name,
            finding=rule.finding,
            severity=rule.severity,
            priority=rule.priority,
            armed="armed" if rule.armed else rule.why_not,
            where=rule.where,
            source=rule.source,
            tags=rule.tags,
            respond=rule.respond,
        )
        for rule in ruleset.rules
    ]
