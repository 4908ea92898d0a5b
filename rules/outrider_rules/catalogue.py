"""The fields a rule may use: named facts of one event, handed to the language as an argument."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from outrider_rules.problems import nearest

FieldType = Literal[
    "str", "int", "float", "bool", "ip", "list[str]", "list[int]", "list[float]", "list[bool]", "list[ip]"
]
"""`ip` values are text as inet_ntop(3) writes it; a rule may compare them with addresses and with networks."""

Value = str | int | float | bool | list[str] | tuple[str, ...] | list[int] | tuple[int, ...] | None

Many = Literal["any", "ends", "set"]
"""What a comparison of a list-valued field means; see `Field`."""

EVENT_TYPE: Final = "evt.type"
"""The field that holds the type of the event; the rules are sorted by it."""

_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)+")
_TYPES: Final = frozenset(FieldType.__args__)  # type: ignore[attr-defined]  # Literal's own arguments


class Field(Struct, frozen=True, gc=False):
    """One named fact about an event.

    `get(context)` gives its value, or None where this event has none; it must not raise and must not change
    anything. With `indexed`, the field is used as `name[index]` and `get(context, index)` is called with the text
    between the brackets; `index` says whether that must be a number. One name may be in a catalogue twice, plain
    and indexed (`proc.aname` and `proc.aname[2]`).

    `events` are the values of `evt.type` that can supply the field; None is all of them. For any other type the
    field counts as absent without being asked.

    For a list, `many` says what a comparison means. `any`: it holds when it holds for some element, `!=` too (as
    Falco's walk over `proc.aname`). `ends`: the same, but `!=` holds when no element is equal (as `fd.ip`, either
    end of a connection). `set`: as `any`, but `in` holds only when every element is in the list (Falco's list fields).

    How well the field is supplied, for `arming`: `weaker` says in what it is less than its name promises, `lacking`
    that it never has a value and what would give one, `always` the one value it has for some types of event, and
    `present` that every event has one.
    `set_by_exec`: the start of a program sets it anew, so before the start it says nothing of that program.
    `aliases` are constants that mean another one: a rule that names `openat` is given `open`.
    """

    name: str
    type: FieldType
    get: Callable[..., Any]
    indexed: bool = False
    events: frozenset[str] | None = None
    doc: str = ""
    unit: str = ""
    source: str = ""
    many: Many = "any"
    index: Literal["number", "key"] = "number"
    weaker: str = ""
    lacking: str = ""
    always: Mapping[str, str | int | bool] = {}
    aliases: Mapping[str, str] = {}
    present: bool = False
    set_by_exec: bool = False

    @property
    def element(self) -> str:
        """The type of one value: `str` for `list[str]`."""
        return self.type[5:-1] if self.is_list else self.type

    @property
    def is_list(self) -> bool:
        """Whether a value is a list."""
        return self.type.startswith("list[")

    @property
    def shown(self) -> str:
        """The name as a reader writes it."""
        return f"{self.name}[…]" if self.indexed else self.name


class Catalogue:
    """All fields a set of rules may use.

    Raises: ValueError for a name given twice, or a field that is not well formed.
    """

    def __init__(self, fields: Iterable[Field]) -> None:
        self._plain: dict[str, Field] = {}
        self._indexed: dict[str, Field] = {}
        for field in fields:
            if not _FIELD_NAME.fullmatch(field.name) or field.type not in _TYPES:
                raise ValueError(f"not a field: {field.name!r} of type {field.type!r}")
            table = self._indexed if field.indexed else self._plain
            if field.name in table:
                raise ValueError(f"field {field.shown} is in the catalogue twice")
            table[field.name] = field

    def __iter__(self) -> Iterator[Field]:
        yield from self._plain.values()
        yield from self._indexed.values()

    def __len__(self) -> int:
        return len(self._plain) + len(self._indexed)

    def find(self, name: str, index: str | None = None) -> Field | None:
        """The field of that name; with an index, the indexed one."""
        return (self._plain if index is None else self._indexed).get(name)

    def suggest(self, name: str, index: str | None = None) -> str:
        """A hint for a name that `find` does not know."""
        if index is None and name in self._indexed:
            return f"write it with an index: `{name}[…]`"
        if index is not None and name in self._plain:
            return f"`{name}` takes no index"
        return nearest(name, {field.name for field in self})
