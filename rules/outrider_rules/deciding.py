"""What a condition comes to for one type of event where its values are known beforehand: `arming` asks this.

Comparisons whose outcome is the same for every event of the type are decided; what is left is `false`, `true`, or a
smaller condition that only an event can answer.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct

from outrider_rules.catalogue import Field
from outrider_rules.interpret import test_holds
from outrider_rules.tree import And, Checked, Constant, Macro, Not, Or, Test

_WILD: Final = re.compile(r"[*?\[]")


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


def supply_of(field: Field, sight: Sight) -> Supply:
    return sight.fields.get(field.name) or Supply(field.weaker, field.lacking)


class Decider:
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
        for operand in (test.operand, test.other):
            if operand is not None and (lacking := supply_of(operand.field, self._sight).lacking):
                self.against[f"{operand.field.name}: {lacking}"] = None
                return False
        supply = supply_of(field, self._sight)
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
