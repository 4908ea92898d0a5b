"""Output templates: text with `%field` in it, filled in from an event.

`%proc.name`, `%proc.aname[2]` and `%join(proc.aname, "/")` are fields, `%%` is a percent sign, and a leading `*` is
allowed and means nothing (in Falco: print even where fields are absent, as is done here always).
"""

import re
from typing import Any, Final

from outrider_rules.catalogue import Catalogue
from outrider_rules.check import MAX_ERRORS, Checker
from outrider_rules.interpret import operand_value
from outrider_rules.problems import shown
from outrider_rules.reader import ConditionError, Reader
from outrider_rules.syntax import read_operand
from outrider_rules.transforms import TRANSFORMERS, as_text
from outrider_rules.tree import Name, Operand

ABSENT: Final = "<NA>"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
_DOTTED: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)+)(?:\[(?P<index>[^\]\s]{1,64})\])?")


class Output:
    """A template that was checked: `parts` are texts and operands in turn."""

    def __init__(self, parts: list[str | Operand]) -> None:
        self.parts = tuple(parts)

    @property
    def operands(self) -> tuple[Operand, ...]:
        """The fields in the template."""
        return tuple(part for part in self.parts if isinstance(part, Operand))

    def render(self, context: Any) -> str:
        """The text for an event; an absent field shows as `<NA>`."""
        return "".join(
            part if isinstance(part, str) else format_value(operand_value(part, context)) for part in self.parts
        )


def format_value(value: Any) -> str:
    """A value as Falco prints it."""
    return ABSENT if value is None else as_text(value)


def check_output(text: str, catalogue: Catalogue) -> tuple[Output, list[ConditionError]]:
    """The template, and every mistake in it (it is meaningless then)."""
    checker = Checker(catalogue, {})
    parts: list[str | Operand] = []
    errors: list[ConditionError] = []
    position = 1 if text.startswith("*") else 0
    while position < len(text) and len(errors) < MAX_ERRORS:
        found = text.find("%", position)
        if found < 0:
            break
        parts.append(text[position:found])
        if text.startswith("%%", found):
            parts.append("%")
            position = found + 2
            continue
        try:
            name, position = _read_name(text, found + 1)
            parts.append(checker.operand(name))
        except ConditionError as error:
            errors.append(error)
            position = max(position, found + 1)
    parts.append(text[position:])
    return Output(parts), errors


def _read_name(text: str, at: int) -> tuple[Name, int]:
    """The field behind a percent sign, with its transformers, and where the text goes on.

    Raises: ConditionError when there is none.
    """
    plain = _DOTTED.match(text, at)
    if plain is not None:
        return Name(plain["name"], at, plain["index"]), plain.end()
    reader = Reader(text)
    reader.at = at
    first = reader.match(_NAME)
    if first not in TRANSFORMERS or not reader.sees("("):
        raise _no_field(text, at - 1)
    return read_operand(reader, first, at), reader.at


def _no_field(text: str, at: int) -> ConditionError:
    piece = shown(text[at : at + 24].split(" ")[0], 20)
    return ConditionError(at, f"`{piece}` is no field", "write `%%` for a percent sign")
