"""What a YAML scalar stands for: YAML 1.1's kinds, of which only those that JSON has are taken further."""

import re
from typing import Final

import yaml

from outrider_cdk.editing.errors import Unreadable

STANDARD: Final = "tag:yaml.org,2002:"

_RESOLVER: Final = yaml.resolver.Resolver()
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,300})")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]{1,300}\.[0-9]{0,300}(?:[eE][-+]?[0-9]{1,3})?")
_TRUE: Final = frozenset({"true", "yes", "on"})


def kind_of(value: str, implicit: tuple[bool, bool]) -> str:
    """The tag that a scalar without one has by how it is written; `implicit` is the event's."""
    return str(_RESOLVER.resolve(yaml.ScalarNode, value, implicit))  # type: ignore[no-untyped-call]  # PyYAML's


def plain_scalar(kind: str, value: str, line: int) -> str | int | float | bool | None:
    """A scalar of one of the standard kinds; dates, octals and other curiosities stay as they are written.

    Raises Unreadable for a kind of somebody else's.
    """
    if kind == STANDARD + "null":
        return None
    if kind == STANDARD + "bool":
        return value.lower() in _TRUE
    if kind == STANDARD + "int" and _INTEGER.fullmatch(value):
        return int(value)
    if kind == STANDARD + "float" and _DECIMAL.fullmatch(value):
        return float(value)
    if kind.startswith(STANDARD) and "/" not in kind:
        return value
    raise Unreadable(f"has a tag that is not known here: {kind}", line=line)


def own_tag(tag: str | None) -> str:
    """A short tag (`!Sub`), and nothing for those of the standard."""
    return tag if tag and tag != "!" and not tag.startswith(STANDARD) else ""
