"""Honest arming: for each rule, whether it can hold where it is loaded, by what substitutes, and if not, why.

A rule that was loaded may still never hold: the event it waits for is seen by nobody here, or a field it needs has
no value. That is worked out of the rule's own condition, once for each type of event it can hold for: comparisons
whose outcome is the same for every event of the type are decided, and what is left is either `false` (the rule is
blind to that type) or can hold. A rule is never silently dead.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from msgspec import Struct

from outrider_rules.catalogue import EVENT_TYPE, Field
from outrider_rules.interpret import test_holds
from outrider_rules.rule import Rule
from outrider_rules.ruleset import RuleSet
from outrider_rules.specialise import Specialiser
from outrider_rules.tree import And, Checked, Macro, Not, Or, Test, tests

State = Literal["armed", "substituted", "blind"]


class Supply(Struct, frozen=True, gc=False):
    """How well a type of event or a field is supplied: exactly, in some way `weaker`, or `lacking` altogether."""

    weaker: str = ""
    lacking: str = ""


class Sight(Struct, frozen=True):
    """What can be seen in one mode. A type of event that is not in `events` is not seen at all.

    `fields` says how a field is supplied here, where that differs from what the catalogue declares of it.
    """

    events: Mapping[str, Supply]
    fields: Mapping[str, Supply] = {}


class Arming(Struct, frozen=True):
    """How one rule stands: `event_types` are those by which it can hold here, `reasons` what is weaker or missing.

    `enabled` is the rule's own: a rule that is off has a state too, which is what it would be if it were on.
    """

    rule: str
    state: State
    enabled: bool
    reasons: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()


NOT_SEEN: Final = "no sensor here tells of it"


def arm(ruleset: RuleSet, sight: Sight) -> list[Arming]:
    """How every rule of a set stands, in their order."""
    specialisers: dict[str, Specialiser] = {}
    return [_arm_rule(rule, sight, specialisers) for rule in ruleset.rules]


def count_states(armings: Iterable[Arming]) -> dict[str, int]:
    """How many rules that are on are in each state, and how many are off."""
    counts = {"armed": 0, "substituted": 0, "blind": 0, "off": 0}
    for arming in armings:
        counts[arming.state if arming.enabled else "off"] += 1
    return counts


def _arm_rule(rule: Rule, sight: Sight, specialisers: dict[str, Specialiser]) -> Arming:
    if rule.why_not and rule.enabled:
        return Arming(rule.name, "blind", True, (rule.why_not,))
    named = _named_types(rule)
    seen: list[str] = []
    missing: dict[str, None] = {}
    weaker: dict[str, None] = {}
    for event_type in sorted(sight.events if rule.event_types is None else rule.event_types):
        specialiser = specialisers.setdefault(event_type, Specialiser(event_type))
        condition = specialiser.cut(rule.condition)
        if condition is False:
            continue
        supply = sight.events.get(event_type, Supply(lacking=NOT_SEEN))
        if supply.lacking:
            if event_type in named:
                missing[f"{event_type}: {supply.lacking}"] = None
            continue
        decider = _Decider(event_type, sight)
        if decider.decide(condition) is False:
            for reason in decider.against:
                missing[f"{event_type}: {reason}" if event_type in named else reason] = None
            continue
        seen.append(event_type)
        if supply.weaker:
            weaker[f"{event_type}: {supply.weaker}"] = None
        weaker |= dict.fromkeys(_weaker_fields(condition, event_type, sight))
    reasons = (*missing, *weaker)
    state: State = "blind" if not seen else "substituted" if reasons else "armed"
    if not seen and not reasons:
        reasons = ("its condition can hold for no event at all",)
    return Arming(rule.name, state, rule.enabled, reasons, tuple(seen))


def _named_types(rule: Rule) -> set[str]:
    """The types of event that the rule itself asks for."""
    return {
        str(constant)
        for test in tests(rule.condition)
        if test.operand.field.name == EVENT_TYPE and test.operator in ("=", "in", "intersects")
        for constant in test.constants
    }


def _weaker_fields(condition: Checked, event_type: str, sight: Sight) -> Iterable[str]:
    for test in tests(condition):
        for operand in (test.operand, test.other):
            if operand is None or (operand.field.events is not None and event_type not in operand.field.events):
                continue
            supply = _supply_of(operand.field, sight)
            if reason := supply.lacking or supply.weaker:
                yield f"{operand.field.name}: {reason}"


def _supply_of(field: Field, sight: Sight) -> Supply:
    return sight.fields.get(field.name) or Supply(field.weaker, field.lacking)


class _Decider:
    """Decides the comparisons whose outcome no event of a type can change; `against` says what spoke against."""

    def __init__(self, event_type: str, sight: Sight) -> None:
        self._event_type = event_type
        self._sight = sight
        self._macros: dict[int, tuple[Macro, Checked]] = {}
        self.against: dict[str, None] = {}

    def decide(self, tree: Checked) -> Checked:
        """The tree that is left, `True` or `False` where nothing is."""
        if isinstance(tree, Test):
            return self._test(tree)
        if isinstance(tree, Macro):
            known = self._macros.get(id(tree))
            if known is None:
                known = self._macros[id(tree)] = (tree, self.decide(tree.body))
            return known[1]
        if isinstance(tree, Not):
            part = self.decide(tree.part)
            return not part if isinstance(part, bool) else Not(part)
        if not isinstance(tree, And | Or):
            return tree
        neutral = isinstance(tree, And)
        parts = [self.decide(part) for part in tree.parts]
        if any(part is (not neutral) for part in parts):
            return not neutral
        left = tuple(part for part in parts if not isinstance(part, bool))
        if not left:
            return neutral
        return And(left) if neutral else Or(left)

    def _test(self, test: Test) -> Checked:
        field = test.operand.field
        supply = _supply_of(field, self._sight)
        if supply.lacking:
            self.against[f"{field.name}: {supply.lacking}"] = None
            return False
        value = field.always.get(self._event_type)
        if value is None or test.other is not None or test.operand.transforms:
            return test
        if test_holds(test, [value] if test.operand.is_list else value):
            return True
        reason = supply.weaker or f"it is always {value} here"
        self.against[f"{field.name}: {reason}"] = None
        return False
