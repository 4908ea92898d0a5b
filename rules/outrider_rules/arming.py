"""Honest arming: for each rule, whether it can hold where it is loaded, by what substitutes, and if not, why.

A rule that was loaded may still never hold: the event it waits for is seen by nobody here, or a field it needs has
no value. That is worked out of the rule's own condition, once for each type of event it can hold for: comparisons
whose outcome is the same for every event of the type are decided, and what is left is either `false` (the rule is
blind to that type) or can hold. A rule is never silently dead.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final, Literal

from msgspec import Struct

from outrider_rules.catalogue import EVENT_TYPE, Field
from outrider_rules.interpret import test_holds
from outrider_rules.rule import Rule
from outrider_rules.ruleset import RuleSet
from outrider_rules.specialise import Specialiser
from outrider_rules.tree import And, Checked, Constant, Macro, Not, Or, Test, tests

State = Literal["armed", "substituted", "blind"]


class Supply(Struct, frozen=True, gc=False):
    """How well a type of event or a field is supplied: exactly, in some way `weaker`, or `lacking` altogether.

    `values` are, by the name of a field, all that it can be in such an event, a text with `*` being a pattern as
    fnmatch has it. `never` are beginnings that it never has. `because` says why, by the same names.
    """

    weaker: str = ""
    lacking: str = ""
    values: Mapping[str, tuple[Constant, ...]] = {}
    never: Mapping[str, tuple[str, ...]] = {}
    because: Mapping[str, str] = {}


class Sight(Struct, frozen=True):
    """What can be seen in one mode. A type of event that is not in `events` is not seen at all.

    A type may have several supplies, each for a sort of such events: files that were written to, files that were
    read. `fields` says how a field is supplied here, where that differs from what the catalogue declares of it.
    """

    events: Mapping[str, tuple[Supply, ...]]
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


NEVER: Final = "its condition, as it is written, can hold for no event that is seen"
_WILD: Final = re.compile(r"[*?\[]")
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
        decider = _Decider(event_type, sight, supply)
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
            supply = _supply_of(operand.field, sight)
            if reason := supply.lacking or supply.weaker:
                yield f"{operand.field.name}: {reason}"


def _supply_of(field: Field, sight: Sight) -> Supply:
    return sight.fields.get(field.name) or Supply(field.weaker, field.lacking)


class _Decider:
    """Decides the comparisons whose outcome no event of a type can change.

    `against` says which can never hold and why, `held` which always do (that speaks against what denies them).
    """

    def __init__(self, event_type: str, sight: Sight, supply: Supply) -> None:
        self._event_type = event_type
        self._sight = sight
        self._values = supply.values
        self._never = supply.never
        self._because = supply.because
        self._macros: dict[int, tuple[Macro, Checked]] = {}
        self.against: dict[str, None] = {}
        self.held: dict[str, None] = {}
        self.explained = False

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
        if test.other is not None or test.operand.transforms or test.operand.index is not None:
            return test
        if field.present and test.operator == "exists":
            self.held[f"{field.name}: every event has one"] = None
            return True
        if (never := self._never.get(field.name)) and _begins_only_with(test, never):
            return self._rule_out(field, f"never begins with {', '.join(never)} here")
        values = self._values.get(field.name)
        if values is None:
            always = field.always.get(self._event_type)
            values = (always,) if always is not None else None
        if values is None:
            return test
        outcomes = {_may_hold(test, value) for value in values}
        if outcomes == {True}:
            if field.name in self._because:
                self.held[f"{field.name}: {self._because[field.name]}"] = None
            return True
        if outcomes != {False}:
            return test
        only = "is only " + ", ".join([str(value) for value in values[:8]]) + " here"
        return self._rule_out(field, f"{only}: {supply.weaker}" if supply.weaker else only)

    def _rule_out(self, field: Field, otherwise: str) -> bool:
        """Note why a comparison can never hold; false."""
        because = self._because.get(field.name)
        self.explained |= because is not None
        self.against[f"{field.name}: {because or otherwise}"] = None
        return False


def _may_hold(test: Test, value: Constant) -> bool | None:
    """Whether a comparison holds for a value; None where a pattern leaves that open."""
    if not isinstance(value, str) or "*" not in value:
        return test_holds(test, [value] if test.operand.is_list else value)
    fits = any(fnmatchcase(str(constant), value) for constant in test.constants)
    if test.operator in ("=", "in", "!="):
        return None if fits else test.operator == "!="
    if test.operator in ("startswith", "pmatch", "glob"):
        start = _fixed(value)
        beginnings = [_fixed(str(constant)) for constant in test.constants]
        return None if any(text.startswith(start) or start.startswith(text) for text in beginnings) else False
    return None


def _begins_only_with(test: Test, never: tuple[str, ...]) -> bool:
    """Whether a comparison asks for nothing but what begins in one of some ways."""
    if test.operator not in ("=", "in", "startswith", "pmatch", "glob"):
        return False
    return bool(test.constants) and all(_fixed(str(constant)).startswith(never) for constant in test.constants)


def _fixed(pattern: str) -> str:
    """What a pattern begins with."""
    return _WILD.split(pattern, maxsplit=1)[0]
