"""Writes values as JSON, and as YAML in brackets and braces, in the manner of the text around them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_NOT_PRINTABLE: Final = re.compile("[^ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML takes only escaped, besides the quote and the backslash."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half of a character: JSON can say it, UTF-8 cannot."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a document is written: what ends its lines, indents them, and stands behind colons and commas."""

    newline: str = "\n"
    unit: str = "  "
    colon: str = ": "
    comma: str = ", "
    yaml: bool = False
    """Strings are escaped as YAML understands it."""


def on_one_line(value: Any, manner: Manner) -> str:
    """A value without line breaks."""
    return "".join(_pieces(value, manner, None))


def on_lines(value: Any, manner: Manner, indent: str) -> str:
    """A value over several lines; `indent` is that of the line it begins in, which does not get it again."""
    return "".join(_pieces(value, manner, indent))


def _pieces(value: Any, manner: Manner, indent: str | None) -> Iterator[str]:
    if not isinstance(value, dict | list) or not value:
        yield scalar(value, manner)
        return
    inner = None if indent is None else indent + manner.unit
    between = manner.comma if inner is None else "," + manner.newline + inner
    yield "{" if isinstance(value, dict) else "["
    yield "" if inner is None else manner.newline + inner
    for number, item in enumerate(value):
        yield between if number else ""
        if isinstance(value, dict):
            yield scalar(str(item), manner) + manner.colon
        yield from _pieces(value[item] if isinstance(value, dict) else item, manner, inner)
    yield "" if indent is None else manner.newline + indent
    yield "}" if isinstance(value, dict) else "]"


def scalar(value: Any, manner: Manner) -> str:
    """A value that has no parts, or an empty list or object."""
    if isinstance(value, str):
        return quoted(value) if manner.yaml else json.dumps(value, ensure_ascii=bool(_SURROGATE.search(value)))
    return json.dumps(value)


def quoted(text: str) -> str:
    """A string in YAML's double quotes."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{_NOT_PRINTABLE.sub(_escaped, text)}"'


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
