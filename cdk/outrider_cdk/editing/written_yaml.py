"""Writes values as YAML in lines with indentation, in the manner of the text around them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from outrider_cdk.editing.scalars import kind_of
from outrider_cdk.editing.written_json import Manner, on_one_line, quoted, scalar

_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+-]*(:[A-Za-z0-9_./+:-]*[A-Za-z0-9_./+-])?")
"""Strings that need no quotes anywhere, in braces neither; whether they would be no strings is asked apart."""
_SIMPLE: Final = re.compile(r"[ -&(-~]*")
_TEXT: Final = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class BlockManner:
    """How a YAML document is indented: mappings by `unit` spaces, lists in mappings by `list_unit` (often none)."""

    newline: str = "\n"
    unit: int = 2
    list_unit: int = 2


def block_lines(value: Any, manner: BlockManner) -> Iterator[str]:
    """The lines of a mapping or list that is not empty, indented from 0."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _entry(plain(str(key)), item, manner)
        return
    for item in value:
        if not isinstance(item, dict | list) or not item:
            yield f"- {plain(item)}"
            continue
        for number, line in enumerate(block_lines(item, manner)):
            yield ("  " if number else "- ") + line


def entry_lines(key: str, value: Any, manner: BlockManner) -> Iterator[str]:
    """The lines of one key with its value, indented from 0."""
    yield from _entry(plain(key), value, manner)


def _entry(key: str, value: Any, manner: BlockManner) -> Iterator[str]:
    if not isinstance(value, dict | list) or not value:
        yield f"{key}: {plain(value)}"
        return
    yield f"{key}:"
    step = " " * (manner.unit if isinstance(value, dict) else manner.list_unit)
    for line in block_lines(value, manner):
        yield step + line


def plain(value: Any) -> str:
    """A value that has no parts; strings in quotes only where they would otherwise be something else."""
    if not isinstance(value, str):
        return scalar(value, Manner(yaml=True))
    bare = _PLAIN.fullmatch(value) and value.lower() not in ("y", "n") and kind_of(value, (True, False)) == _TEXT
    if bare:
        return value
    return f"'{value}'" if '"' in value and _SIMPLE.fullmatch(value) else quoted(value)


def respelled(old: str, value: Any) -> str:
    """Another value on one line, in quotes where the old one was."""
    if isinstance(value, dict | list):
        return on_one_line(value, Manner(yaml=True))
    if not isinstance(value, str) or old[:1] not in ("'", '"'):
        return plain(value)
    return f"'{value}'" if old[:1] == "'" and _SIMPLE.fullmatch(value) else quoted(value)
