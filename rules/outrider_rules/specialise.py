"""Conditions for one type of event: what the type alone decides is decided before any event comes.

`evt.type in (execve, execveat)` is true or false once the type is known, and a field that the type cannot supply
is absent. What is left is smaller, and a rule of which nothing is left but `false` never meets such an event.
"""

from typing import Final

from outrider_rules.catalogue import EVENT_TYPE
from outrider_rules.interpret import test_holds
from outrider_rules.tree import And, Checked, Macro, Not, Or, Test, tests

OTHER_TYPES: Final = None
"""Stands for every type of event that no rule and no field names."""


class Specialiser:
    """Cuts checked trees down for one type of event; a macro is cut once and stays shared."""

    def __init__(self, event_type: str | None) -> None:
        self._type = event_type
        self._macros: dict[int, tuple[Macro, Checked]] = {}

    def cut(self, tree: Checked) -> Checked:
        """The tree that is left, `True` or `False` where nothing is."""
        if isinstance(tree, Test):
            return self._test(tree)
        if isinstance(tree, Macro):
            return self._macro(tree)
        if isinstance(tree, Not):
            part = self.cut(tree.part)
            return not part if isinstance(part, bool) else Not(part)
        if isinstance(tree, And | Or):
            return self._several(tree)
        return tree

    def _several(self, tree: And[Test | Macro | bool] | Or[Test | Macro | bool]) -> Checked:
        neutral = isinstance(tree, And)
        parts: list[Checked] = []
        for part in tree.parts:
            left = self.cut(part)
            if isinstance(left, bool):
                if left is not neutral:
                    return left
            else:
                parts.append(left)
        if len(parts) < 2:
            return parts[0] if parts else neutral
        return And(tuple(parts)) if neutral else Or(tuple(parts))

    def _macro(self, macro: Macro) -> Checked:
        known = self._macros.get(id(macro))
        if known is None:
            body = self.cut(macro.body)
            left = body if isinstance(body, bool | Test) else Macro(macro.name, body, macro.height)
            known = self._macros[id(macro)] = (macro, left)
        return known[1]

    def _test(self, test: Test) -> Checked:
        if not test.constants and test.other is None and test.operator != "exists":
            return False
        for operand in (test.operand, test.other):
            events = operand.field.events if operand is not None else None
            if events is not None and self._type not in events:
                return False
        if test.operand.field.name == EVENT_TYPE and test.other is None and not test.operand.transforms:
            if self._type is not OTHER_TYPES:
                return test_holds(test, self._type)
            if test.operator in ("=", "in", "intersects"):
                return False
            if test.operator in ("!=", "exists"):
                return True
        return test


def named_types(tree: Checked) -> set[str]:
    """The types of event that a condition or a field it uses names."""
    found: set[str] = set()
    for test in tests(tree):
        if test.operand.field.name == EVENT_TYPE and test.operator in ("=", "!=", "in", "intersects"):
            found.update(str(constant) for constant in test.constants)
        for operand in (test.operand, test.other):
            if operand is not None and operand.field.events is not None:
                found.update(operand.field.events)
    return found
