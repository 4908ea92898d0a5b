"""Transformers: what may be done to a field's value before it is compared or shown.

`tolower(proc.name)`, `join(proc.aname, "/")`, `getopt(proc.args, "nt:")[t]`. A transformer that has no answer
(base64 that is none, an option that was not given) gives None: the comparison is then false, as for an absent field.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

PLAIN: Final = ("tolower", "toupper", "basename", "len", "b64")
"""Transformers of one argument, the value."""
WITH_TEXT: Final = ("join", "getopt")
"""Transformers of a value and a quoted text."""
TRANSFORMERS: Final = (*PLAIN, *WITH_TEXT, "concat")

MAX_OPTIONS: Final = 64
"""Longest option string of `getopt`, in characters."""

_OPTION_STRING = re.compile(r"\+?(?:[A-Za-z0-9]:{0,2})+")
_OPTION = re.compile(r"([A-Za-z0-9])(:{0,2})")


class Step(Struct, frozen=True, gc=False):
    """One transformer of a chain: `text` is what it was given besides the value, `option` the index of `getopt`."""

    name: str
    text: str = ""
    option: str = ""


Form = tuple[str, bool]
"""Type of one value, and whether there are many."""


def form_after(step: Step, kind: str, *, is_list: bool) -> Form | None:
    """What a transformer makes of values of a type; None where it does not apply."""
    if step.name == "len":
        return ("int", False) if is_list or kind == "str" else None
    if step.name == "join":
        return ("str", False) if is_list else None
    if kind != "str":
        return None
    return ("str", True) if step.name == "getopt" else ("str", is_list)


def check_options(step: Step) -> str:
    """What is wrong with a `getopt`; empty when nothing is."""
    if len(step.text) > MAX_OPTIONS or not _OPTION_STRING.fullmatch(step.text):
        return f"`{step.text[:MAX_OPTIONS]}` is no string of options"
    if step.option and step.option not in dict(_OPTION.findall(step.text)):
        return f"`{step.option}` is not among the options `{step.text}`"
    return ""


def transform(step: Step, value: Any) -> Any:
    """One transformer on one value that is not None."""
    if step.name == "len":
        return len(value)
    if step.name == "join":
        return step.text.join(map(as_text, value))
    if step.name == "getopt":
        return _options(step, value.split() if isinstance(value, str) else list(value)) or None
    apply = _OF_TEXT[step.name]
    if isinstance(value, list | tuple):
        return [changed for element in value if (changed := apply(element)) is not None] or None
    return apply(value)


def transform_all(steps: tuple[Step, ...], value: Any) -> Any:
    """A chain of transformers on a value or None."""
    for step in steps:
        if value is None:
            return None
        value = transform(step, value)
    return value


def as_text(value: Any) -> str:
    """A value as Falco prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "(" + ",".join(map(as_text, value)) + ")"
    return str(value)


def _decoded(value: str) -> str | None:
    """The text that base64 (RFC 4648, padded) holds."""
    try:
        return base64.b64decode(value.encode("ascii"), validate=True).decode("utf-8", "backslashreplace")
    except (binascii.Error, ValueError):
        return None


_OF_TEXT: Final[dict[str, Callable[[str], str | None]]] = {
    "tolower": str.lower,
    "toupper": str.upper,
    "basename": lambda value: value.rsplit("/", 1)[-1],
    "b64": _decoded,
}


def _options(step: Step, words: list[str]) -> list[str]:
    """The options given, or the values of the one asked for, in the manner of getopt(3).

    Options may stand behind other words, as in GNU's; with a leading `+` the first other word ends them, as `--`
    always does. Long options and unknown ones are passed over.
    """
    known = dict(_OPTION.findall(step.text))
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(words) and words[position] != "--":
        word = words[position]
        position += 1
        if len(word) < 2 or word[0] != "-" or word[1] == "-":
            if step.text[0] == "+" and not word.startswith("--"):
                break
            continue
        for at in range(1, len(word)):
            takes = known.get(word[at])
            if takes is None:
                continue
            rest = word[at + 1 :] if takes else ""
            if takes == ":" and not rest and position < len(words):
                rest = words[position]
                position += 1
            found.append((word[at], rest))
            if takes:
                break
    if step.option:
        return [value for name, value in found if name == step.option]
    return list(dict.fromkeys(name for name, _ in found))
