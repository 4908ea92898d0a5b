"""Falco's condition syntax: text to a parsed tree.

What a character means depends on what is expected there (a value may hold nearly any character, `*`, `/`, `:` and
`[` among them), so the text is cut where it is read. Parentheses are kept on a list, not on Python's stack.

    condition := term (('and' | 'or') term)*          `and` binds tighter than `or`
    term      := 'not'* ( '(' condition ')' | comparison | macro )
    comparison:= operand 'exists' | operand operator value | operand ('in'|'intersects'|'pmatch') values
    operand   := field | field '[' index ']' | transformer '(' operand ')' | 'concat(' (operand | "quoted"), … ')'
               | 'join(' operand ',' "quoted" ')' | 'getopt(' operand ',' "quoted" ')' ('[' letter ']')?
    value     := bare | "quoted" | 'quoted' | 'val(' operand ')' | transformer '(' operand ')' | modifier '(' values ')'
    values    := '(' (value (',' value)*)? ')' | name of a list | 'val(' field ')'
"""

import re
from typing import Final

from msgspec.structs import replace

from outrider_rules.problems import nearest, shown
from outrider_rules.reader import ConditionError, Reader
from outrider_rules.transforms import TRANSFORMERS, WITH_TEXT, Step
from outrider_rules.tree import And, Compare, MacroName, Name, Not, Or, Parsed, Word

MAX_PARENTHESES: Final = 100
"""Deepest nesting of parentheses in one condition (Falco's own bound)."""
MAX_TRANSFORMS: Final = 8

MAX_PARTS: Final = 32
"""Most parts of one `concat`."""
SYMBOLS: Final = ("==", "=", "!=", "<=", "<", ">=", ">")
LIST_OPERATORS: Final = ("in", "intersects", "pmatch")
WORD_OPERATORS: Final = (
    *("exists", "contains", "icontains", "bcontains", "startswith", "bstartswith", "endswith"),
    *("glob", "iglob", "regex", *LIST_OPERATORS),
)
MODIFIERS: Final = ("oneof", "anyof", "allof")
MODIFIABLE: Final = frozenset({"=", "!=", *WORD_OPERATORS} - {"exists", *LIST_OPERATORS})
"""The operators that a modifier may follow."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
_BARE = re.compile(r"""[^ \x08\t\n\r(),="'][^ \x08\t\n\r(),=]*""")
_INDEX = re.compile(r"""[^ \x08\t\n\r\[\]"']+""")
_SYMBOL = re.compile(r"==|=|!=|<=|<|>=|>")
_WORD = re.compile(r"[A-Za-z_]+")


class _Open:
    """What stands between an opening parenthesis (or the start) and here."""

    def __init__(self, at: int, *, negated: bool) -> None:
        self.at = at
        self.negated = negated
        self.ors: list[Parsed] = []
        self.ands: list[Parsed] = []

    def close(self) -> Parsed:
        """The tree of everything between the parentheses."""
        parts = [*self.ors, _conjunction(self.ands)]
        tree: Parsed = parts[0] if len(parts) == 1 else Or(tuple(parts))
        return _negation(tree) if self.negated else tree


def parse_condition(text: str) -> Parsed:
    """The tree of a condition.

    Raises: ConditionError at the first place that is not as the syntax wants it.
    """
    reader = Reader(text)
    levels = [_Open(0, negated=False)]
    while True:
        negated = _read_nots(reader)
        if reader.take("("):
            if len(levels) > MAX_PARENTHESES:
                raise ConditionError(reader.at - 1, f"parentheses nested deeper than {MAX_PARENTHESES}")
            levels.append(_Open(reader.at - 1, negated=negated))
            continue
        term = _read_term(reader)
        levels[-1].ands.append(_negation(term) if negated else term)
        while reader.take(")"):
            if len(levels) == 1:
                raise ConditionError(reader.at - 1, "a `)` that closes nothing")
            closed = levels.pop().close()
            levels[-1].ands.append(closed)
        if reader.done:
            break
        _read_joint(reader, levels[-1])
    if len(levels) > 1:
        raise ConditionError(levels[-1].at, "this `(` is never closed")
    return levels[0].close()


def _conjunction(parts: list[Parsed]) -> Parsed:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _negation(tree: Parsed) -> Parsed:
    return tree.part if isinstance(tree, Not) else Not(tree)


def _read_nots(reader: Reader) -> bool:
    """Skip any number of `not`; whether what follows is negated."""
    negated = False
    while reader.take_keyword("not"):
        negated = not negated
    return negated


def _read_joint(reader: Reader, level: _Open) -> None:
    at = reader.at
    if reader.take_keyword("and"):
        return
    if reader.take_keyword("or"):
        level.ors.append(_conjunction(level.ands))
        level.ands = []
        return
    raise ConditionError(at, f"expected `and`, `or` or the end, found `{reader.peek()}`")


def _read_term(reader: Reader) -> Parsed:
    at = reader.at
    found = reader.match(_NAME)
    if found is None or found in ("and", "or"):
        raise ConditionError(at, f"expected a field, a macro or `(`, found {reader.rest(at)}")
    if "." not in found and not reader.sees("("):
        if _sees_operator(reader):
            raise ConditionError(at, f"`{shown(found)}` is no field", "names of fields have a dot: `proc.name`")
        return MacroName(found, at)
    return _read_comparison(reader, read_operand(reader, found, at))


def _sees_operator(reader: Reader) -> bool:
    """Whether an operator comes next, which a macro cannot have."""
    at = reader.at
    reader.skip()
    word = reader.match(_SYMBOL) or reader.match(_WORD)
    reader.at = at
    return word in (*SYMBOLS, *WORD_OPERATORS)


def read_operand(reader: Reader, first: str, at: int, depth: int = 0) -> Name:
    """A field with its index and transformers; `first`, the name at `at`, has been read."""
    if "." in first:
        return Name(first, at, _read_index(reader))
    if first not in TRANSFORMERS or not reader.take_tight("("):
        raise ConditionError(at, *_no_transformer(first))
    if depth >= MAX_TRANSFORMS:
        raise ConditionError(at, f"more than {MAX_TRANSFORMS} transformers")
    if first == "concat":
        return Name(first, at, parts=_read_parts(reader, depth))
    text = _read_text(reader) if first == "join" else None
    if text is not None:
        reader.expect(",")
    inner = _read_inner(reader, depth)
    if first in WITH_TEXT and text is None:
        reader.expect(",")
        text = _read_text(reader)
        if text is None:
            raise ConditionError(reader.at, f"`{first}` needs a quoted text", f"such as `{_EXAMPLES[first]}`")
    reader.expect(")")
    option = (_read_index(reader) or "") if first == "getopt" else ""
    return replace(inner, transforms=(*inner.transforms, Step(first, text or "", option)))


_EXAMPLES: Final = {"join": 'join(proc.aname, "/")', "getopt": 'getopt(proc.args, "nt:")'}


def _read_inner(reader: Reader, depth: int) -> Name:
    reader.skip()
    at = reader.at
    return read_operand(reader, reader.match(_NAME) or "", at, depth + 1)


def _read_text(reader: Reader) -> str | None:
    """A quoted text, if one comes next."""
    reader.skip()
    return reader.quoted() if reader.sees_quote() else None


def _read_parts(reader: Reader, depth: int) -> tuple[Name | Word, ...]:
    """The fields and quoted texts of a `concat`."""
    parts: list[Name | Word] = []
    while True:
        reader.skip()
        at = reader.at
        parts.append(Word(reader.quoted(), at, quoted=True) if reader.sees_quote() else _read_inner(reader, depth))
        if len(parts) > MAX_PARTS:
            raise ConditionError(at, f"`concat` of more than {MAX_PARTS} parts")
        if reader.take(")"):
            return tuple(parts)
        reader.expect(",")


def _no_transformer(name: str) -> tuple[str, str]:
    if not name:
        return "expected a field", "such as `proc.name`"
    return f"`{shown(name)}` is neither a field nor a transformer", nearest(name, TRANSFORMERS)


def _read_index(reader: Reader) -> str | None:
    if not reader.take_tight("["):
        return None
    at = reader.at
    index = reader.quoted() if reader.sees_quote() else reader.match(_INDEX)
    if not index:
        raise ConditionError(at, "expected an index between the brackets", "such as `proc.aname[2]`")
    reader.expect("]")
    return index


def _read_comparison(reader: Reader, left: Name) -> Compare:
    reader.skip()
    at = reader.at
    operator = reader.match(_SYMBOL) or reader.match(_WORD) or ""
    if operator not in SYMBOLS and operator not in WORD_OPERATORS:
        known = ", ".join((*SYMBOLS, *WORD_OPERATORS))
        hint = nearest(operator, WORD_OPERATORS) if operator not in ("", "and", "or") else ""
        raise ConditionError(at, f"expected an operator, found {reader.rest(at)}", hint or f"one of {known}")
    reader.skip()
    if operator == "exists":
        return Compare(left, operator, at)
    operator = "=" if operator == "==" else operator
    modifier = _read_modifier(reader, operator)
    if modifier:
        return Compare(left, operator, at, values=_read_values(reader), listed=True, modifier=modifier)
    other = _read_other(reader)
    if other is not None:
        return Compare(left, operator, at, other=other)
    if operator in LIST_OPERATORS and reader.take("("):
        return Compare(left, operator, at, values=_read_values(reader), listed=True)
    return Compare(left, operator, at, values=(_read_word(reader),))


def _read_modifier(reader: Reader, operator: str) -> str:
    """The `anyof` before a list of values, its parenthesis taken; empty where none stands."""
    at = reader.at
    found = reader.match(_NAME)
    if found in MODIFIERS and reader.take("("):
        if operator not in MODIFIABLE:
            raise ConditionError(at, f"`{operator}` takes no `{found}`", "write the values between parentheses")
        return found
    reader.at = at
    return ""


def _read_other(reader: Reader) -> Name | None:
    """A field on the right: `val(proc.name)` or `tolower(proc.name)`."""
    at = reader.at
    found = reader.match(_NAME)
    if found is not None and reader.sees("("):
        if found == "val":
            reader.take_tight("(")
            reader.skip()
            inner = reader.at
            operand = read_operand(reader, reader.match(_NAME) or "", inner)
            reader.expect(")")
            return operand
        if found in TRANSFORMERS:
            return read_operand(reader, found, at)
    reader.at = at
    return None


def _read_values(reader: Reader) -> tuple[Word, ...]:
    values: list[Word] = []
    if reader.take(")"):
        return ()
    while True:
        values.append(_read_word(reader))
        if reader.take(")"):
            return tuple(values)
        if not reader.take(","):
            raise ConditionError(reader.at, f"expected `,` or `)`, found {reader.rest(reader.at)}")


def _read_word(reader: Reader) -> Word:
    reader.skip()
    at = reader.at
    if reader.sees_quote():
        return Word(reader.quoted(), at, quoted=True)
    found = reader.match(_BARE)
    if found is None:
        raise ConditionError(at, f"expected a value, found {reader.rest(at)}")
    return Word(found, at)
