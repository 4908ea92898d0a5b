"""Checked trees to one Python function that says which of them hold for an event.

The source that is generated holds no text of any rule or field: constants, getters and tests are reached through
names `k0`, `g0`, `p0`, … of a table. One event has a list of slots: slot 0 is the context, each other slot a field's
value or a macro's answer, worked out when first asked for and then kept, so that what fifty rules ask is asked
once. Trees deeper than `MAX_INLINE` levels are cut into functions of their own (Python's parser bounds the nesting
of parentheses), and a macro is a function too, so that the size of the source is that of the rules as written.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from outrider_rules.operators import element_test
from outrider_rules.transforms import Step, transform_all
from outrider_rules.tree import And, Checked, Constant, Macro, Not, Operand, Or, Test

MAX_INLINE: Final = 16
"""Levels of a tree that are written as one expression."""

UNSET: Final = object()
"""What a slot holds before it is worked out."""

Evaluate = Callable[[Any], list[int]]
"""Context in; positions of the conditions that hold, in order."""


def compile_conditions(conditions: Sequence[tuple[int, Checked]]) -> Evaluate:
    """One function for many conditions, each with the number that it answers with."""
    program = _Program()
    for number, tree in conditions:
        program.add(number, tree)
    return program.build()


class _Program:
    """The source under construction and the table of everything it names."""

    def __init__(self) -> None:
        self._table: dict[str, Any] = {"U": UNSET}
        self._functions: list[str] = []
        self._body: list[str] = []
        self._slots = 1
        self._values: dict[tuple[str, str | None, tuple[Step, ...]], str] = {}
        self._answers: dict[int, tuple[Macro, str]] = {}
        self._constants: dict[tuple[type, Any], str] = {}

    def add(self, number: int, tree: Checked) -> None:
        """One more condition."""
        self._body.append(f"    if {self._write(tree, 0)}:\n        found({number})\n")

    def build(self) -> Evaluate:
        """The finished function."""
        lines = (
            "".join(self._functions),
            "def evaluate(c):\n    s = T.copy()\n    s[0] = c\n    out = []\n    found = out.append\n",
            *self._body,
            "    return out\n",
        )
        self._table["T"] = [UNSET] * self._slots
        exec(compile("".join(lines), "<rules>", "exec"), self._table)
        built: Evaluate = self._table["evaluate"]
        return built

    def _name(self, letter: str, value: Any) -> str:
        name = f"{letter}{len(self._table)}"
        self._table[name] = value
        return name

    def _constant(self, value: Constant | frozenset[Constant]) -> str:
        key = (type(value), value)
        if key not in self._constants:
            self._constants[key] = self._name("k", value)
        return self._constants[key]

    def _slot(self) -> int:
        self._slots += 1
        return self._slots - 1

    def _write(self, tree: Checked, level: int) -> str:
        if level > MAX_INLINE and isinstance(tree, And | Or | Not):
            name = f"e{len(self._functions)}x{len(self._table)}"
            self._table[name] = None
            self._functions.append(f"def {name}(s):\n    return {self._write(tree, 0)}\n")
            return f"{name}(s)"
        if isinstance(tree, Test):
            return self._test(tree)
        if isinstance(tree, Macro):
            return self._macro(tree)
        if isinstance(tree, Not):
            return f"(not {self._write(tree.part, level + 1)})"
        if isinstance(tree, And | Or):
            joint = " and " if isinstance(tree, And) else " or "
            return "(" + joint.join([self._write(part, level + 1) for part in tree.parts]) + ")"
        return repr(bool(tree))

    def _macro(self, macro: Macro) -> str:
        known = self._answers.get(id(macro))
        if known is None:
            slot = self._slot()
            body = self._write(macro.body, 0)
            name = f"m{slot}"
            self._functions.append(f"def {name}(s):\n    v = s[{slot}] = {body}\n    return v\n")
            known = self._answers[id(macro)] = (macro, f"(x if (x := s[{slot}]) is not U else {name}(s))")
        return known[1]

    def _value(self, operand: Operand) -> str:
        """An expression for an operand's value."""
        known = self._values.get(operand.key)
        if known is None:
            slot = self._slot()
            name = f"f{slot}"
            self._functions.append(f"def {name}(s):\n    v = s[{slot}] = {self._fetch(operand)}\n    return v\n")
            known = self._values[operand.key] = f"(x if (x := s[{slot}]) is not U else {name}(s))"
        return known

    def _fetch(self, operand: Operand) -> str:
        field = operand.field
        if operand.transforms:
            plain = Operand(field, operand.index, (), field.element, field.is_list, field.many)
            chain = self._name("t", partial(transform_all, operand.transforms))
            return f"{chain}({self._value(plain)})"
        getter = self._name("g", field.get)
        index = "" if operand.index is None else f", {self._constant(operand.index)}"
        return f"{getter}(s[0]{index})" + (" or None" if field.is_list else "")

    def _test(self, test: Test) -> str:
        value = self._value(test.operand)
        if test.operator == "exists":
            return f"({value} is not None)"
        if test.other is not None:
            between = self._name("p", _between(test))
            return f"((y := {value}) is not None and (z := {self._value(test.other)}) is not None and {between}(y, z))"
        if not test.constants:
            return "False"
        if test.operand.is_list:
            return self._list_test(test, value)
        return self._scalar_test(test, value)

    def _scalar_test(self, test: Test, value: str) -> str:
        operator, kind = test.operator, test.operand.type
        only = self._constant(test.constants[0]) if len(test.constants) == 1 else ""
        if kind != "ip":
            if operator in ("=", "in", "intersects"):
                return f"({value} == {only})" if only else f"({value} in {self._constant(frozenset(test.constants))})"
            if operator == "!=":
                return f"((y := {value}) is not None and y != {only})"
            if operator in ("<", "<=", ">", ">="):
                return f"((y := {value}) is not None and y {operator} {only})"
            if operator in ("contains", "bcontains"):
                return f"((y := {value}) is not None and {only} in y)"
            if operator in ("startswith", "bstartswith", "endswith"):
                return f"((y := {value}) is not None and y.{operator.removeprefix('b')}({only}))"
        return f"((y := {value}) is not None and {self._name('p', element_test(kind, operator, test.constants))}(y))"

    def _list_test(self, test: Test, value: str) -> str:
        operator, kind = test.operator, test.operand.type
        every = operator == "in" and test.operand.many == "set"
        if kind != "ip" and operator in ("=", "in", "intersects") and not every:
            one_of = self._constant(frozenset(test.constants))
            return f"((y := {value}) is not None and not {one_of}.isdisjoint(y))"
        return f"((y := {value}) is not None and {self._name('p', _list_test(test))}(y))"


def _list_test(test: Test) -> Callable[[Any], bool]:
    """A test of a whole list that is neither absent nor empty."""
    operator, many = test.operator, test.operand.many
    if operator == "!=" and many == "ends":
        equal = element_test(test.operand.type, "=", test.constants)
        return lambda values: not any(map(equal, values))
    holds = element_test(test.operand.type, operator, test.constants)
    if operator == "in" and many == "set":
        return lambda values: all(map(holds, values))
    return lambda values: any(map(holds, values))


def _between(test: Test) -> Callable[[Any, Any], bool]:
    """A test of a value against another field's, both present; written for rare use, not for speed."""
    left, right, operator = test.operand, test.other, test.operator
    right_is_list = right is not None and right.is_list

    def holds(value: Any, other: Any) -> bool:
        constants = tuple(other) if right_is_list else (other,)
        if operator in ("<", "<=", ">", ">=", "contains", "icontains", "startswith", "endswith"):
            choices = [Test(left, operator, (constant,)) for constant in constants]
        elif operator == "!=":
            equal = element_test(left.type, "in", constants)
            values = value if left.is_list else (value,)
            found = [equal(one) for one in values]
            return not any(found) if left.many == "ends" or not left.is_list else not all(found)
        else:
            choices = [Test(left, operator, constants)]
        if left.is_list:
            return any(_list_test(choice)(value) for choice in choices)
        return any(element_test(left.type, operator, choice.constants)(value) for choice in choices)

    return holds
