"""Items of rule files as they are collected: rules, macros and lists before anything is looked up.

The keys a rule may have, and what each must hold, are the tables here: the schema of a pack.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from outrider_rules.document import Node, Scalar
from outrider_rules.exceptions import ExceptionDraft, read_exceptions
from outrider_rules.nodes import Problems, note, read_flag, read_scalar, read_scalars, read_word
from outrider_rules.problems import shown
from outrider_rules.respond import RESPONSES
from outrider_rules.text import Text

PRIORITIES: Final = ("EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG")
_PRIORITY_WORDS: Final = (*PRIORITIES, "INFORMATIONAL")
SEVERITIES: Final = ("LOW", "MEDIUM", "HIGH")

_FINDING = re.compile(r"[A-Z][A-Za-z0-9]*:[A-Z][A-Za-z0-9]*/[A-Z][A-Za-z0-9&]*(?:[.!][A-Za-z0-9]+)*")

Reader = Callable[[Node, str, Problems], Any]


def _text(node: Node, what: str, problems: Problems) -> Text | None:
    scalar = read_scalar(node, what, problems)
    return None if scalar is None else Text.of(scalar)


def _string(node: Node, what: str, problems: Problems) -> str | None:
    scalar = read_scalar(node, what, problems)
    return None if scalar is None else scalar.value.strip()


def _strings(node: Node, what: str, problems: Problems) -> list[str] | None:
    scalars = read_scalars(node, what, problems)
    return None if scalars is None else list(dict.fromkeys(scalar.value for scalar in scalars))


def _priority(node: Node, what: str, problems: Problems) -> str | None:
    value = node.value.strip().upper() if isinstance(node, Scalar) else ""
    begun = next((word for word in _PRIORITY_WORDS if value and word.startswith(value)), None)  # `warn`, as in Falco
    word = begun or read_word(node, what, _PRIORITY_WORDS, problems)
    return "INFO" if word == "INFORMATIONAL" else word


def _severity(node: Node, what: str, problems: Problems) -> str | None:
    return read_word(node, what, SEVERITIES, problems)


def _finding(node: Node, what: str, problems: Problems) -> str | None:
    value = _string(node, what, problems)
    if value is not None and not _FINDING.fullmatch(value):
        note(problems, node, f"`{shown(value)}` is no type of finding", "such as `Execution:Runtime/ReverseShell`")
        return None
    return value


def _respond(node: Node, what: str, problems: Problems) -> Text | None:
    known = read_word(node, what, RESPONSES, problems)
    return Text.of(node) if known is not None and isinstance(node, Scalar) else None


def _ignored(node: Node, what: str, problems: Problems) -> bool | None:
    return True if read_scalar(node, what, problems) else None


RULE_READERS: Final[dict[str, Reader]] = {
    "condition": _text,
    "output": _text,
    "fold": _text,
    "respond": _respond,
    "desc": _string,
    "priority": _priority,
    "tags": _strings,
    "enabled": read_flag,
    "source": _string,
    "exceptions": read_exceptions,
    "finding": _finding,
    "severity": _severity,
    "title": _string,
    "remedy": _string,
    "sees": _string,
    "misses": _string,
    "noise": _string,
    "skip-if-unknown-filter": read_flag,
    "warn_evttypes": read_flag,
    "capture": read_flag,
    "capture_duration": _ignored,
}
"""What each key of a rule holds. The last three are Falco's; they are checked and mean nothing here."""

REQUIRED: Final = ("condition", "output", "desc", "priority")
APPENDABLE: Final = frozenset({"condition", "output", "desc", "tags", "exceptions"})


class RuleDraft:
    """A rule as the files have it so far. `values` holds what RULE_READERS gave, by key."""

    def __init__(self, name: Scalar, values: dict[str, Any]) -> None:
        self.name = name
        self.values = values

    def change(self, key: str, value: Any, *, append: bool) -> None:
        """Replace one key's value, or append to it."""
        old = self.values.get(key)
        if append and old is not None:
            value = _joined(old, value)
        self.values[key] = value

    @property
    def condition(self) -> Text:
        """The condition with its exceptions."""
        text: Text = self.values["condition"]
        exceptions: list[ExceptionDraft] = self.values.get("exceptions", [])
        parts = [made for exception in exceptions if (made := exception.condition())]
        if not parts:
            return text
        refusals = "".join(f" and not {part}" for part in parts)
        return text.wrapped("(", f"){refusals}", exceptions[0].name)


class MacroDraft:
    """A macro as the files have it so far."""

    def __init__(self, name: Scalar, condition: Text) -> None:
        self.name = name
        self.condition = condition


class ListDraft:
    """A list as the files have it so far."""

    def __init__(self, name: Scalar, items: list[Scalar]) -> None:
        self.name = name
        self.items = items


def _joined(old: Any, new: Any) -> Any:
    if isinstance(old, Text):
        return old.followed_by(new)
    if isinstance(old, str):
        return f"{old} {new}"
    if old and isinstance(old[0], ExceptionDraft):
        return ExceptionDraft.merge(old, new)
    return list(dict.fromkeys([*old, *new])) if old and isinstance(old[0], str) else [*old, *new]
