"""Conditions as trees: as parsed (names), and as checked (fields and typed constants).

`And` and `Or` hold any number of parts, so that a condition of ten thousand terms is wide, not deep. `at` is an
offset into the text of the condition the node was parsed from.
"""

from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct

from outrider_rules.catalogue import Field, Many
from outrider_rules.transforms import Step

Leaf = TypeVar("Leaf")


class And(Struct, Generic[Leaf], frozen=True):
    """Holds when every part holds."""

    parts: tuple["And[Leaf] | Or[Leaf] | Not[Leaf] | Leaf", ...]


class Or(Struct, Generic[Leaf], frozen=True):
    """Holds when some part holds."""

    parts: tuple["And[Leaf] | Or[Leaf] | Not[Leaf] | Leaf", ...]


class Not(Struct, Generic[Leaf], frozen=True):
    """Holds when its part does not."""

    part: "And[Leaf] | Or[Leaf] | Not[Leaf] | Leaf"


class Word(Struct, frozen=True, gc=False):
    """A value as written. A quoted one is never the name of a list."""

    text: str
    at: int
    quoted: bool = False


class Name(Struct, frozen=True, gc=False):
    """A field as written: name, index between brackets, and transformers, the innermost first.

    `concat(…)` is a name too, whose `parts` are fields and quoted texts.
    """

    name: str
    at: int
    index: str | None = None
    transforms: tuple[Step, ...] = ()
    parts: tuple["Name | Word", ...] = ()


class Compare(Struct, frozen=True, gc=False):
    """A comparison as written: of a field with values, with another field, or with nothing (`exists`).

    `listed` tells `in (a, b)` from `in some_list`; `modifier` is the `anyof` of `startswith anyof (a, b)`.
    """

    left: Name
    operator: str
    at: int
    values: tuple[Word, ...] = ()
    other: Name | None = None
    listed: bool = False
    modifier: str = ""


class MacroName(Struct, frozen=True, gc=False):
    """A macro, by name."""

    name: str
    at: int


Written: TypeAlias = Compare | MacroName
Parsed: TypeAlias = And[Written] | Or[Written] | Not[Written] | Written


class Operand(Struct, frozen=True):
    """A field that was found in the catalogue, with its transformers. `type` is that of one value after them.

    The field of `concat(…)` is made for it, and `parts` are the operands it is made of.
    """

    field: Field
    index: str | None
    transforms: tuple[Step, ...]
    type: str
    is_list: bool
    many: Many
    parts: tuple["Operand", ...] = ()

    @property
    def shown(self) -> str:
        """The operand without its transformers, as a rule writes it."""
        return self.field.name if self.index is None else f"{self.field.name}[{self.index}]"

    @property
    def key(self) -> tuple[str, str | None, tuple[Step, ...]]:
        """What makes two operands the same value."""
        return self.field.name, self.index, self.transforms

    @property
    def sources(self) -> "tuple[Operand, ...]":
        """The operands of fields of the catalogue: itself, or what it is made of."""
        return tuple(source for part in self.parts for source in part.sources) or (self,)


Constant = str | int | float | bool


class Test(Struct, frozen=True):
    """A checked comparison: constants are of the operand's type, addresses and networks in normal form.

    The operator `oneof startswith` holds when `startswith` does for just one of the constants.
    """

    operand: Operand
    operator: str
    constants: tuple[Constant, ...] = ()
    other: Operand | None = None


class Macro(Struct, frozen=True, eq=False):
    """A checked macro; the rules that use it share this one object. `height` is its own levels, itself included."""

    name: str
    body: "Checked"
    height: int


Decided: TypeAlias = Test | Macro | bool
Checked: TypeAlias = And[Decided] | Or[Decided] | Not[Decided] | Decided


def height(tree: Parsed | Checked) -> int:
    """Levels of a tree, macros included; without recursion."""
    tallest = 0
    waiting: list[tuple[Parsed | Checked, int]] = [(tree, 1)]
    while waiting:
        node, level = waiting.pop()
        tallest = max(tallest, level + (node.height - 1 if isinstance(node, Macro) else 0))
        if isinstance(node, And | Or):
            waiting.extend((part, level + 1) for part in node.parts)
        elif isinstance(node, Not):
            waiting.append((node.part, level + 1))
    return tallest


def tests(tree: Checked) -> list[Test]:
    """Every comparison of a checked tree, those of its macros too, in order; a macro is entered once."""
    found: list[Test] = []
    entered: set[int] = set()
    waiting: list[Checked] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Test):
            found.append(node)
        elif isinstance(node, And | Or):
            waiting.extend(reversed(node.parts))
        elif isinstance(node, Not):
            waiting.append(node.part)
        elif isinstance(node, Macro) and id(node) not in entered:
            entered.add(id(node))
            waiting.append(node.body)
    return found
