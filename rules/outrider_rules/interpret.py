"""The meaning of conditions, in the plainest words: a checked tree and a context in, true or false out.

The compiler is tested against this, and the tools that explain a rule use it. Nothing is remembered or folded.
"""

from typing import Any

from outrider_rules.addresses import address_number
from outrider_rules.glob import compile_glob
from outrider_rules.operators import ONE_OF, compile_pattern, regex_engine
from outrider_rules.transforms import transform_all
from outrider_rules.tree import And, Checked, Macro, Not, Operand, Or, Test


def holds(tree: Checked, context: Any) -> bool:
    """Whether a condition holds for an event."""
    if isinstance(tree, bool):
        return tree
    if isinstance(tree, And):
        return all(holds(part, context) for part in tree.parts)
    if isinstance(tree, Or):
        return any(holds(part, context) for part in tree.parts)
    if isinstance(tree, Not):
        return not holds(tree.part, context)
    if isinstance(tree, Macro):
        return holds(tree.body, context)
    return test_holds(tree, operand_value(tree.operand, context), context)


def operand_value(operand: Operand, context: Any) -> Any:
    """The value of a field after its transformers; None when the event has none, or only an empty list."""
    field = operand.field
    value = field.get(context) if operand.index is None else field.get(context, operand.index)
    if field.is_list and value is not None and len(value) == 0:
        value = None
    return transform_all(operand.transforms, value)


def test_holds(test: Test, value: Any, context: Any = None) -> bool:
    """Whether one comparison holds for a value; one with an absent value never does."""
    if value is None:
        return False
    if test.operator == "exists":
        return True
    wanted: list[Any] = list(test.constants)
    if test.other is not None:
        right = operand_value(test.other, context)
        if right is None:
            return False
        wanted = list(right) if test.other.is_list else [right]
    values = list(value) if test.operand.is_list else [value]
    kind = test.operand.type
    if test.operator.startswith(ONE_OF):
        plain = test.operator.removeprefix(ONE_OF)
        each = [Test(test.operand, plain, (constant,)) for constant in test.constants]
        return [test_holds(one, value) for one in each].count(True) == 1
    if test.operator == "!=" and (test.operand.many == "ends" or not test.operand.is_list):
        return not any(_compares(kind, "=", one, other) for one in values for other in wanted)
    if test.operator == "in" and test.operand.many == "set":
        return all(any(_compares(kind, "in", one, other) for other in wanted) for one in values)
    if test.operator == "!=":
        return any(not any(_compares(kind, "=", one, other) for other in wanted) for one in values)
    return any(_compares(kind, test.operator, one, other) for one in values for other in wanted)


def _compares(kind: str, operator: str, value: Any, wanted: Any) -> bool:
    """One value against one other; `!=` is asked as `=`."""
    if operator in ("=", "in", "intersects"):
        return _in_network(value, wanted) if kind == "ip" else bool(value == wanted)
    if operator in ("<", "<=", ">", ">="):
        return bool({"<": value < wanted, "<=": value <= wanted, ">": value > wanted, ">=": value >= wanted}[operator])
    if operator in ("contains", "bcontains"):
        return bool(wanted in value)
    if operator == "icontains":
        return bool(wanted.lower() in value.lower())
    if operator in ("startswith", "bstartswith"):
        return bool(value.startswith(wanted))
    if operator == "endswith":
        return bool(value.endswith(wanted))
    if operator in ("glob", "iglob"):
        return compile_glob(wanted, ignore_case=operator == "iglob")(value)
    if operator == "pmatch":
        above = [part for part in wanted.split("/") if part]
        return [part for part in value.split("/") if part][: len(above)] == above
    engine = regex_engine()
    return engine is not None and compile_pattern(engine, wanted).fullmatch(value) is not None


def _in_network(address: str, network: str) -> bool:
    base, _, prefix = network.partition("/")
    size, number = address_number(address)
    wanted_size, wanted = address_number(base)
    shift = size * 8 - int(prefix) if prefix else 0
    return size == wanted_size and shift >= 0 and number >> shift == wanted >> shift
