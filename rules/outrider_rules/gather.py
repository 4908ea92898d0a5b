"""Rule files, in their order, to one set of drafts: later files replace, append to and override earlier ones.

A name defined again in another file replaces what was there, as in Falco; twice in one file is a mistake.
"""

import re
from typing import Any, Final

from outrider_rules.document import Mapping, Node, RuleSource, Scalar, Sequence, compose, read_source
from outrider_rules.drafts import APPENDABLE, REQUIRED, RULE_READERS, ListDraft, MacroDraft, RuleDraft
from outrider_rules.exceptions import refuse_misfits
from outrider_rules.nodes import (
    MAX_PROBLEMS,
    Problems,
    note,
    read_flag,
    read_keys,
    read_scalar,
    read_scalars,
    read_word,
    refuse_unknown,
)
from outrider_rules.problems import Problem, RulesError, nearest, shown
from outrider_rules.text import Text

ENGINE_VERSION: Final = (0, 57, 0)
"""The newest version of Falco's rule engine whose files are known to load."""

KINDS: Final = ("rule", "macro", "list", "required_engine_version", "required_plugin_versions")

Keys = dict[str, tuple[Scalar, Node]]


class Definitions:
    """Everything the files define, and every problem met on the way."""

    def __init__(self) -> None:
        self.rules: dict[str, RuleDraft] = {}
        self.macros: dict[str, MacroDraft] = {}
        self.lists: dict[str, ListDraft] = {}
        self.problems: list[Problem] = []

    def add_source(self, given: RuleSource) -> None:
        """Read one file into the set."""
        try:
            roots = compose(read_source(given))
        except RulesError as error:
            self.problems.extend(error.problems)
            return
        for root in roots:
            if isinstance(root, Sequence):
                for item in root.items:
                    if len(self.problems) < MAX_PROBLEMS:
                        self._add_item(item)
            elif not (isinstance(root, Scalar) and not root.value and not root.style):
                note(self.problems, root, "a rule file must be a list of items", "each starts with `- rule:`, …")

    def _add_item(self, item: Node) -> None:
        keys = read_keys(item, "an item", self.problems)
        kinds = [kind for kind in KINDS if kind in keys]
        if not isinstance(item, Mapping):
            return
        if len(kinds) != 1:
            first = next(iter(keys), "")
            hint = nearest(first, KINDS) if not kinds else ""
            note(self.problems, item, f"an item must have just one of {', '.join(KINDS)}", hint)
        elif kinds[0] == "required_engine_version":
            _check_engine(keys[kinds[0]][1], self.problems)
        elif kinds[0] == "required_plugin_versions":
            _check_plugins(keys[kinds[0]][1], self.problems)
        elif (name := read_scalar(keys[kinds[0]][1], f"the name of a {kinds[0]}", self.problems)) is not None:
            {"rule": self._add_rule, "macro": self._add_macro, "list": self._add_list}[kinds[0]](name, keys)

    def _add_rule(self, name: Scalar, keys: Keys) -> None:
        before = len(self.problems)
        refuse_unknown(keys, ("rule", *RULE_READERS, "append", "override"), "a rule", self.problems)
        how = self._changes(name, keys, "rule", self.rules)
        values: dict[str, Any] = {}
        for key in keys:
            if key in RULE_READERS:
                value = RULE_READERS[key](keys[key][1], f"`{key}`", self.problems)
                if value is not None:
                    values[key] = value
        known = self.rules.get(name.value)
        adds = known is not None and (how or {}).get("exceptions") == "append"
        refuse_misfits(
            known.values.get("exceptions", []) if known and adds else [], values.get("exceptions", []), self.problems
        )
        if how is None and known is not None and set(keys) == {"rule", "enabled"}:
            known.values.update(values)
            return
        if how is None:
            self._refuse_twice(name, known)
            missing = [key for key in REQUIRED if key not in keys]
            if missing and len(self.problems) == before:
                note(self.problems, name, f"the rule `{shown(name.value)}` lacks {', '.join(missing)}")
        if len(self.problems) > before:
            self.rules.setdefault(name.value, RuleDraft(name, {}))
        elif how is None:
            self.rules[name.value] = RuleDraft(name, values)
        elif known is not None:
            for key, value in values.items():
                known.change(key, value, append=how.get(key) == "append")

    def _add_macro(self, name: Scalar, keys: Keys) -> None:
        refuse_unknown(keys, ("macro", "condition", "append", "override"), "a macro", self.problems)
        how = self._changes(name, keys, "macro", self.macros)
        known = self.macros.get(name.value)
        if how is None:
            self._refuse_twice(name, known)
        if "condition" not in keys:
            note(self.problems, name, f"the macro `{shown(name.value)}` has no condition")
            return
        scalar = read_scalar(keys["condition"][1], "`condition`", self.problems)
        if scalar is None:
            return
        if known is not None and (how or {}).get("condition") == "append":
            known.condition = known.condition.followed_by(Text.of(scalar))
        else:
            self.macros[name.value] = MacroDraft(name, Text.of(scalar))

    def _add_list(self, name: Scalar, keys: Keys) -> None:
        refuse_unknown(keys, ("list", "items", "append", "override"), "a list", self.problems)
        how = self._changes(name, keys, "list", self.lists)
        known = self.lists.get(name.value)
        if how is None:
            self._refuse_twice(name, known)
        if "items" not in keys:
            note(self.problems, name, f"the list `{shown(name.value)}` has no items")
            return
        items = read_scalars(keys["items"][1], "`items`", self.problems)
        if items is None:
            return
        if known is not None and (how or {}).get("items") == "append":
            known.items = [*known.items, *items]
        else:
            self.lists[name.value] = ListDraft(name, items)

    def _refuse_twice(self, name: Scalar, known: "RuleDraft | MacroDraft | ListDraft | None") -> None:
        if known is not None and known.name.source is name.source:
            hint = "to add to it, write `override: {…: append}`"
            note(self.problems, name, f"`{shown(name.value)}` is defined twice in this file", hint)

    def _changes(self, name: Scalar, keys: Keys, kind: str, known: dict[str, Any]) -> dict[str, str] | None:
        """How this item changes an earlier one, by key; None where it defines."""
        appendable = APPENDABLE if kind == "rule" else frozenset({"condition", "items"})
        how: dict[str, str] = {}
        if "override" in keys:
            for key, (at, value) in read_keys(keys["override"][1], "`override`", self.problems).items():
                word = read_word(value, f"`{key}`", ("append", "replace"), self.problems)
                if key not in keys or key in ("append", "override", kind):
                    note(self.problems, at, f"`override` names `{shown(key)}`, which this item does not give")
                elif word == "append" and key not in appendable:
                    note(self.problems, at, f"`{shown(key)}` can be replaced, not appended to")
                how[key] = word or "replace"
            for key in keys:
                if key not in how and key not in (kind, "override", "append"):
                    note(self.problems, keys[key][0], f"`{shown(key)}` must be named under `override` too")
        elif "append" in keys and read_flag(keys["append"][1], "`append`", self.problems):
            how = {key: "append" if key in appendable else "replace" for key in keys}
        else:
            return None
        if name.value not in known:
            hint = nearest(name.value, known)
            note(self.problems, name, f"there is no {kind} `{shown(name.value)}` yet to be changed", hint)
        return how


def _check_engine(node: Node, problems: Problems) -> None:
    scalar = read_scalar(node, "`required_engine_version`", problems)
    if scalar is None:
        return
    match = re.fullmatch(r"(\d{1,6})(?:\.(\d{1,6})\.(\d{1,6}))?", scalar.value.strip())
    if match is None:
        note(problems, node, "`required_engine_version` must be a number or a version", "such as 0.57.0")
        return
    major, minor, patch = match.groups()
    needed = (0, int(major), 0) if minor is None else (int(major), int(minor), int(patch))
    if needed > ENGINE_VERSION:
        known = ".".join(str(part) for part in ENGINE_VERSION)
        note(problems, node, f"needs version {scalar.value} of the rule language; {known} is understood")


def _check_plugins(node: Node, problems: Problems) -> None:
    if not isinstance(node, Sequence):
        note(problems, node, "`required_plugin_versions` must be a list")
        return
    for item in node.items:
        keys = read_keys(item, "a plugin", problems)
        refuse_unknown(keys, ("name", "version", "alternatives"), "a plugin", problems)
        for key in ("name", "version"):
            if key in keys:
                read_scalar(keys[key][1], f"`{key}`", problems)
            elif isinstance(item, Mapping):
                note(problems, item, f"a plugin must have a {key}")
