"""`concat(fd.rip, ":", fd.rport)`: a field made of others and of texts, that is there when all of them are."""

from collections.abc import Callable
from typing import Any

from outrider_rules.catalogue import Field
from outrider_rules.interpret import operand_value
from outrider_rules.transforms import as_text
from outrider_rules.tree import Operand


def concat_operand(parts: tuple[str | Operand, ...]) -> Operand:
    """The operand that puts texts and the values of operands together."""
    operands = tuple(part for part in parts if isinstance(part, Operand))
    fields = [operand.field for operand in operands]
    bounds = [field.events for field in fields if field.events is not None]
    field = Field(
        name="concat(" + ", ".join(map(_written, parts)) + ")",
        type="str",
        get=_getter(parts),
        events=frozenset.intersection(*bounds) if bounds else None,
        weaker="; ".join(dict.fromkeys(field.weaker for field in fields if field.weaker)),
        lacking="; ".join(dict.fromkeys(field.lacking for field in fields if field.lacking)),
    )
    return Operand(field, None, (), "str", False, "any", operands)


def _written(part: str | Operand) -> str:
    if isinstance(part, str):
        escaped = part.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    steps = "".join(f"|{step.name}{step.text!r}{step.option}" for step in part.transforms)
    return part.shown + steps


def _getter(parts: tuple[str | Operand, ...]) -> Callable[[Any], str | None]:
    def get(context: Any) -> str | None:
        texts: list[str] = []
        for part in parts:
            value = part if isinstance(part, str) else operand_value(part, context)
            if value is None:
                return None
            texts.append(as_text(value))
        return "".join(texts)

    return get
