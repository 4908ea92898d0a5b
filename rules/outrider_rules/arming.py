"""Honest arming: for each rule, whether it can hold where it is loaded, by what substitutes, and if not, why.

A rule that was loaded may still never hold: the event it waits for is seen by nobody here, or a field it needs has
no value. That is worked out of the rule's own condition, once for each type of event it can hold for: comparisons
whose outcome is the same for every event of the type are decided, and what is left is either `false` (the rule is
blind to that type) or can hold. A rule is never silently dead.
"""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from outrider_rules.catalogue import EVENT_TYPE
from outrider_rules.deciding import Decider, Sight, Supply, supply_of
from outrider_rules.rule import Rule
from outrider_rules.ruleset import RuleSet
from outrider_rules.specialise import Specialiser
from outrider_rules.tree import Checked, Test, tests

State = Literal["armed", "substituted", "blind"]


class Arming(Struct, frozen=True):
    """How one rule stands: `event_types` are those by which it can hold here, `reasons` what is weaker or missing.

    `enabled` is the rule's own: a rule that is off has a state too, which is what it would be if it were on.
    """

    rule: str
    state: State
    enabled: bool
    reasons: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()


NEVER: Final = "its condition, as it is written, can hold for no event that is seen"
NOT_SEEN: Final = (Supply(lacking="no sensor tells of it"),)


def arm(ruleset: RuleSet, sight: Sight) -> list[Arming]:
    """How every rule of a set stands, in their order."""
    specialisers: dict[str, tuple[Specialiser, Specialiser]] = {}
    return [_arm_rule(rule, sight, specialisers) for rule in ruleset.rules]


def count_states(armings: Iterable[Arming]) -> dict[str, int]:
    """How many rules that are on are in each state, and how many are off."""
    counts = {"armed": 0, "substituted": 0, "blind": 0, "off": 0}
    for arming in armings:
        counts[arming.state if arming.enabled else "off"] += 1
    return counts


def _arm_rule(rule: Rule, sight: Sight, specialisers: dict[str, tuple[Specialiser, Specialiser]]) -> Arming:
    if rule.why_not and rule.enabled:
        return Arming(rule.name, "blind", True, (rule.why_not,))
    named = _named_types(rule)
    seen: dict[str, None] = {}
    missing: dict[str, None] = {}
    against: dict[str, None] = {}
    weaker: dict[str, None] = {}
    ruled_out = False
    for event_type in sorted(named | set(sight.events if rule.event_types is None else rule.event_types)):
        supplies = sight.events.get(event_type, NOT_SEEN)
        whole, by_type = specialisers.setdefault(event_type, (Specialiser(event_type), _TypeOnly(event_type)))
        if lacking := [supply.lacking for supply in supplies if supply.lacking]:
            if event_type in named and by_type.cut(rule.condition) is not False:
                missing[f"{event_type}: {lacking[0]}"] = None
            continue
        condition = whole.cut(rule.condition)
        if condition is False:
            ruled_out |= event_type in named
            continue
        outcomes = [_Outcome(condition, event_type, sight, supply) for supply in supplies]
        for outcome in outcomes:
            if outcome.can_hold:
                seen[event_type] = None
                weaker |= outcome.weaker
        if event_type not in seen:
            against |= min(
                reversed(outcomes), key=lambda outcome: (len(outcome.against), not outcome.explained)
            ).against
    if not seen:
        missing = against | missing
        if (ruled_out and not against) or not missing:
            missing = {NEVER: None} | missing
    reasons = (*missing, *weaker)
    state: State = "blind" if not seen else "substituted" if reasons else "armed"
    return Arming(rule.name, state, rule.enabled, reasons, tuple(seen))


class _TypeOnly(Specialiser):
    """Cuts by the type alone, whatever fields an event of it would have: for what nobody supplies."""

    def _test(self, test: Test) -> Checked:
        return super()._test(test) if test.operand.field.name == EVENT_TYPE else test


class _Outcome:
    """What one supply of a type makes of a rule's condition."""

    def __init__(self, condition: Checked, event_type: str, sight: Sight, supply: Supply) -> None:
        decider = Decider(event_type, sight, supply)
        self.can_hold = decider.decide(condition) is not False
        self.against = decider.against or decider.held
        self.explained = decider.explained
        self.weaker: dict[str, None] = {}
        if self.can_hold:
            if supply.weaker:
                self.weaker[f"{event_type}: {supply.weaker}"] = None
            self.weaker |= dict.fromkeys(_weaker_fields(condition, event_type, sight))


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
            supply = supply_of(operand.field, sight)
            if reason := supply.lacking or supply.weaker:
                yield f"{operand.field.name}: {reason}"
