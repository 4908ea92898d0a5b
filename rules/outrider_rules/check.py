"""Names to fields, words to typed constants: a parsed condition becomes a checked one, or problems."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from outrider_rules.addresses import normal_network
from outrider_rules.catalogue import Catalogue
from outrider_rules.concat import concat_operand
from outrider_rules.glob import compile_glob
from outrider_rules.nodes import FALSE, TRUE
from outrider_rules.operators import BETWEEN_FIELDS, BY_TYPE, ONE_OF, compile_pattern, regex_engine
from outrider_rules.problems import nearest, shown
from outrider_rules.reader import ConditionError
from outrider_rules.syntax import LIST_OPERATORS
from outrider_rules.transforms import check_options, form_after
from outrider_rules.tree import (
    And,
    Checked,
    Compare,
    Constant,
    Macro,
    MacroName,
    Name,
    Not,
    Operand,
    Or,
    Parsed,
    Test,
    Word,
    height,
)

MAX_HEIGHT: Final = 200
"""Most levels of a condition, its macros' included."""
MAX_ERRORS: Final = 20
"""Most mistakes told of one condition."""

_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,20}(?P<part>\.[0-9]{0,20})?(?P<power>[eE][+-]?[0-9]{1,3})?)"
)
_INDEX_NUMBER = re.compile(r"[0-9]{1,4}")
UNKNOWN_FIELD: Final = "unknown field"
"""How the message about a field that is not in the catalogue starts."""


class Checker:
    """Checks conditions against a catalogue, with the lists and macros known so far."""

    def __init__(self, catalogue: Catalogue, lists: Mapping[str, tuple[str, ...]]) -> None:
        self._catalogue = catalogue
        self._lists = lists
        self.macros: dict[str, Macro] = {}

    def check(self, tree: Parsed) -> tuple[Checked, list[ConditionError]]:
        """The checked tree (meaningless where there are errors) and every error in it."""
        errors: list[ConditionError] = []
        if height(tree) > MAX_HEIGHT:
            return False, [ConditionError(0, f"nested deeper than {MAX_HEIGHT} levels")]
        checked = self._tree(tree, errors)
        if not errors and height(checked) > MAX_HEIGHT:
            errors.append(ConditionError(0, f"nested deeper than {MAX_HEIGHT} levels, through its macros"))
        return checked, errors

    def _tree(self, tree: Parsed, errors: list[ConditionError]) -> Checked:
        if isinstance(tree, And):
            return And(tuple([self._tree(part, errors) for part in tree.parts]))
        if isinstance(tree, Or):
            return Or(tuple([self._tree(part, errors) for part in tree.parts]))
        if isinstance(tree, Not):
            return Not(self._tree(tree.part, errors))
        if len(errors) >= MAX_ERRORS:
            return False
        try:
            return self._macro(tree) if isinstance(tree, MacroName) else self._test(tree)
        except ConditionError as error:
            errors.append(error)
            return False

    def _macro(self, name: MacroName) -> Macro:
        macro = self.macros.get(name.name)
        if macro is None:
            hint = nearest(name.name, self.macros)
            if name.name in self._lists:
                hint = f"it is a list: `proc.name in ({name.name})`"
            raise ConditionError(name.at, f"there is no macro `{shown(name.name)}`", hint)
        return macro

    def operand(self, name: Name) -> Operand:
        """The field a name stands for.

        Raises: ConditionError when there is none, or its index or a transformer does not fit.
        """
        if name.parts:
            return self._concat(name)
        field = self._catalogue.find(name.name, name.index)
        if field is None:
            written = name.name if name.index is None else f"{name.name}[{name.index}]"
            hint = self._catalogue.suggest(name.name, name.index)
            raise ConditionError(name.at, f"{UNKNOWN_FIELD} `{shown(written)}`", hint)
        if name.index is not None and field.index == "number" and not _INDEX_NUMBER.fullmatch(name.index):
            raise ConditionError(name.at, f"the index of `{name.name}` must be a number")
        return _transformed(Operand(field, name.index, (), field.element, field.is_list, field.many), name)

    def _concat(self, name: Name) -> Operand:
        parts: list[str | Operand] = []
        for part in name.parts:
            operand = part.text if isinstance(part, Word) else self.operand(part)
            if isinstance(operand, Operand) and operand.is_list:
                raise ConditionError(part.at, f"`{operand.shown}` is a list", f'write `join({operand.shown}, ",")`')
            parts.append(operand)
        return _transformed(concat_operand(tuple(parts)), name)

    def _test(self, compare: Compare) -> Checked:
        operand = self.operand(compare.left)
        if compare.operator not in BY_TYPE[operand.type]:
            known = ", ".join(BY_TYPE[operand.type])
            message = f"`{compare.operator}` does not apply to `{compare.left.name}` ({operand.field.type})"
            raise ConditionError(compare.at, message, f"it has {known}")
        if compare.other is not None:
            return self._between(compare, operand, compare.other)
        words = list(self._words(compare))
        if compare.operator == "regex" and regex_engine() is None:
            hint = "install google-re2, or use `glob`, `contains` or `startswith`"
            raise ConditionError(compare.at, "`regex` needs a bounded engine, which is not installed", hint)
        aliases = operand.field.aliases
        values = (_constant(word, operand, compare.operator) for word in words)
        constants = dict.fromkeys(aliases.get(str(value), value) for value in values)
        return _modified(Test(operand, compare.operator, tuple(constants)), compare)

    def _between(self, compare: Compare, left: Operand, name: Name) -> Test:
        right = self.operand(name)
        numbers = {"int", "float"}
        if compare.operator not in BETWEEN_FIELDS:
            raise ConditionError(compare.at, f"`{compare.operator}` cannot have a field on its right")
        if left.type != right.type and not {left.type, right.type} <= numbers:
            kinds = f"`{name.name}` is {right.type}, `{compare.left.name}` is {left.type}"
            raise ConditionError(name.at, f"two fields of different types: {kinds}")
        return Test(left, compare.operator, other=right)

    def _words(self, compare: Compare) -> Iterator[Word]:
        """The values of a comparison, lists unfolded."""
        for word in compare.values:
            items = None if word.quoted else self._lists.get(word.text)
            if (compare.operator in LIST_OPERATORS or compare.modifier) and items is not None:
                yield from (Word(item, word.at, quoted=True) for item in items)
            elif compare.operator in LIST_OPERATORS and not compare.listed:
                hint = nearest(word.text, self._lists) or "write the values between parentheses"
                raise ConditionError(word.at, f"there is no list `{shown(word.text)}`", hint)
            elif items is not None:
                hint = f"`in ({word.text})` compares with its items; quote it to mean the word itself"
                raise ConditionError(word.at, f"`{shown(word.text)}` is a list", hint)
            else:
                yield word


def _transformed(operand: Operand, name: Name) -> Operand:
    """An operand with the transformers that were written around it.

    Raises: ConditionError for one that does not apply.
    """
    kind, is_list, many = operand.type, operand.is_list, operand.many
    for step in name.transforms:
        form = form_after(step, kind, is_list=is_list)
        if form is None:
            written = f"{'list of ' if is_list else ''}{kind}"
            raise ConditionError(name.at, f"`{step.name}` does not apply to `{operand.shown}` ({written})")
        if step.name == "getopt" and (wrong := check_options(step)):
            raise ConditionError(name.at, wrong, "letters, each with `:` behind it where it takes a value: `nt:`")
        kind, is_list = form
        if step.name == "getopt":
            many = "any" if step.option else "set"
        elif not is_list:
            many = "any"
    return replace(operand, transforms=name.transforms, type=kind, is_list=is_list, many=many)


def _modified(test: Test, compare: Compare) -> Checked:
    """A comparison with its modifier: `= anyof (a, b)` is `= a or = b`, `allof` is `and`, `oneof` just one of them."""
    if not compare.modifier:
        return test
    if test.operand.is_list:
        hint = "write the comparisons out with `and` and `or`"
        message = f"`{compare.modifier}` needs a single value; `{test.operand.shown}` has many"
        raise ConditionError(compare.at, message, hint)
    if not test.constants:
        return False
    if compare.modifier == "oneof":
        return replace(test, operator=ONE_OF + test.operator)
    each = tuple(replace(test, constants=(constant,)) for constant in test.constants)
    return Or(each) if compare.modifier == "anyof" else And(each)


def _constant(word: Word, operand: Operand, operator: str) -> Constant:
    """The value of a word for an operand's type.

    Raises: ConditionError when it is none.
    """
    try:
        return _CONSTANTS[operand.type](word.text, operator)
    except ValueError as error:
        named = operand.field.name
        raise ConditionError(word.at, f"`{shown(word.text)}` is no value for `{named}`: {error}") from error


def _text_constant(text: str, operator: str) -> str:
    if operator in ("glob", "iglob"):
        compile_glob(text)
    if operator in ("bcontains", "bstartswith"):
        return bytes.fromhex(text).decode("utf-8", "backslashreplace")
    if operator == "regex":
        _check_pattern(text)
    return text


def _check_pattern(text: str) -> None:
    engine = regex_engine()
    if engine is not None:
        compile_pattern(engine, text)


def _number_constant(text: str, _operator: str) -> int | float:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError("not a number")
    if match["part"] is not None or match["power"] is not None:
        return float(text)
    return int(text, 16 if "x" in text.lower() else 10)


def _bool_constant(text: str, _operator: str) -> bool:
    if text.lower() in TRUE | FALSE | {"0", "1"}:
        return text.lower() in TRUE or text == "1"
    raise ValueError("neither true nor false")


def _address_constant(text: str, _operator: str) -> str:
    return normal_network(text)


_CONSTANTS: Final[dict[str, Callable[[str, str], Constant]]] = {
    "str": _text_constant,
    "int": _number_constant,
    "float": _number_constant,
    "bool": _bool_constant,
    "ip": _address_constant,
}
