"""Output templates: text with `%field` in it, filled in from an event.

`%proc.name`, `%proc.aname[2]` and `%tolower(proc.name)` are fields, `%%` is a percent sign, and a leading `*` is
allowed and means nothing (in Falco: print even where fields are absent, as is done here always).
"""

import re
from typing import Any, Final

from outrider_rules.catalogue import Catalogue
from outrider_rules.check import MAX_ERRORS, Checker
from outrider_rules.interpret import operand_value
from outrider_rules.problems import shown
from outrider_rules.reader import ConditionError
from outrider_rules.syntax import MAX_TRANSFORMS, TRANSFORMERS
from outrider_rules.tree import Name, Operand

ABSENT: Final = "<NA>"

_REFERENCE: Final = re.compile(
    r"%(?:(?P<percent>%)"
    rf"|(?P<transforms>(?:(?:{'|'.join(TRANSFORMERS)})\(){{0,{MAX_TRANSFORMS}}})"
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)+)(?:\[(?P<index>[^\]\s]{1,64})\])?(?P<close>\)*))"
)


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
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "(" + ",".join(format_value(element) for element in value) + ")"
    return str(value)


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
        match = _REFERENCE.match(text, found)
        if match is None:
            errors.append(_no_field(text, found))
            position = found + 1
        elif match["percent"]:
            parts.append("%")
            position = match.end()
        else:
            position = _read_field(match, checker, parts, errors)
    parts.append(text[position:])
    return Output(parts), errors


def _read_field(
    match: re.Match[str], checker: Checker, parts: list[str | Operand], errors: list[ConditionError]
) -> int:
    transforms = tuple(reversed(match["transforms"].split("(")[:-1]))
    end = match.start("close") + len(transforms)
    if end > match.end():
        errors.append(ConditionError(match.end(), "expected `)`"))
    try:
        parts.append(checker.operand(Name(match["name"], match.start("name"), match["index"], transforms)))
    except ConditionError as error:
        errors.append(error)
    return min(end, match.end())


def _no_field(text: str, at: int) -> ConditionError:
    piece = shown(text[at : at + 24].split(" ")[0], 20)
    return ConditionError(at, f"`{piece}` is no field", "write `%%` for a percent sign")
