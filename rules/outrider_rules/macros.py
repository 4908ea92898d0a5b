"""Macros, checked each after those it uses; and which rules a macro's unknown field takes with it."""

from collections.abc import Mapping
from typing import Final

from outrider_rules.check import UNKNOWN_FIELD, Checker
from outrider_rules.document import Scalar
from outrider_rules.drafts import MacroDraft
from outrider_rules.nodes import MAX_PROBLEMS, note
from outrider_rules.order import dependency_order
from outrider_rules.problems import Problem, shown
from outrider_rules.reader import ConditionError
from outrider_rules.syntax import parse_condition
from outrider_rules.tree import And, Checked, Macro, MacroName, Not, Or, Parsed, height

MAX_CIRCLE_SHOWN: Final = 12


class MacroBook:
    """The macros of a set of files. `blind` holds those that name an unknown field, or a macro that does: why.

    Whether that is a mistake is for the rules to say: a rule with `skip-if-unknown-filter` is only blind by it.
    """

    def __init__(self, drafts: Mapping[str, MacroDraft], checker: Checker) -> None:
        self._drafts = drafts
        self._checker = checker
        self._uses: dict[str, list[str]] = {}
        self._unknown: dict[str, list[ConditionError]] = {}
        self._excused: set[str] = set()
        self._blamed: set[str] = set()
        self.blind: dict[str, str] = {}

    def check(self, problems: list[Problem]) -> None:
        """Check every macro; unknown fields are kept for `blame`."""
        parsed: dict[str, Parsed] = {}
        for name, draft in self._drafts.items():
            try:
                parsed[name] = parse_condition(draft.condition.value)
            except ConditionError as error:
                problems.append(draft.condition.problem(error.at, error.message, error.hint))
                parsed[name] = And(())
        self._uses = {name: macro_names(tree) for name, tree in parsed.items()}
        ordered, circles = dependency_order(self._uses)
        note_circles("macro", circles, {name: draft.name for name, draft in self._drafts.items()}, problems)
        in_circles = {name for circle in circles for name in circle}
        for name in ordered:
            checked: Checked = False
            if name not in in_circles and len(problems) < MAX_PROBLEMS:
                checked = self._check_one(name, parsed[name], problems)
            self._checker.macros[name] = Macro(name, checked, height(checked) + 1)

    def _check_one(self, name: str, tree: Parsed, problems: list[Problem]) -> Checked:
        checked, errors = self._checker.check(tree)
        if not errors:
            taken = next((self.blind[used] for used in self._uses[name] if used in self.blind), None)
            if taken is not None:
                self.blind[name] = taken
            return checked
        if only_unknown_fields(errors):
            self._unknown[name] = errors
            self.blind[name] = errors[0].message
        else:
            text = self._drafts[name].condition
            problems.extend(text.problem(error.at, error.message, error.hint) for error in errors)
        return False

    def why_blind(self, tree: Parsed) -> str:
        """Why a rule with this condition is blind by its macros; empty when it is not."""
        return next((self.blind[name] for name in macro_names(tree) if name in self.blind), "")

    def excuse(self, tree: Parsed) -> None:
        """Note that a rule uses these macros to which an unknown field is no mistake."""
        self._excused |= self._reach(tree)

    def blame(self, tree: Parsed) -> None:
        """Note that a rule uses these macros to which it is one."""
        self._blamed |= self._reach(tree)

    def _reach(self, tree: Parsed) -> set[str]:
        """The macros of a condition, and theirs."""
        found: set[str] = set()
        waiting = macro_names(tree)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self._uses.get(name, [])
        return found

    def note_unknown(self, problems: list[Problem]) -> None:
        """The unknown fields that are mistakes: those of macros that nobody uses, or a rule that does not skip."""
        for name, errors in self._unknown.items():
            if name in self._blamed or name not in self._excused:
                text = self._drafts[name].condition
                problems.extend(text.problem(error.at, error.message, error.hint) for error in errors)


def only_unknown_fields(errors: list[ConditionError]) -> bool:
    """Whether there are errors, and every one is about a field that is not in the catalogue."""
    return bool(errors) and all(error.message.startswith(UNKNOWN_FIELD) for error in errors)


def macro_names(tree: Parsed) -> list[str]:
    """The names of the macros a condition names itself, each once."""
    found: list[str] = []
    waiting: list[Parsed] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, And | Or):
            waiting.extend(node.parts)
        elif isinstance(node, Not):
            waiting.append(node.part)
        elif isinstance(node, MacroName):
            found.append(node.name)
    return list(dict.fromkeys(found))


def note_circles(kind: str, circles: list[list[str]], places: Mapping[str, Scalar], problems: list[Problem]) -> None:
    """A problem for each circle of things that name one another."""
    for circle in circles:
        steps = circle if len(circle) < MAX_CIRCLE_SHOWN else [*circle[:10], "…", circle[0]]
        chain = " → ".join(f"`{shown(name)}`" for name in steps)
        note(problems, places[circle[0]], f"{kind}s that name one another in a circle: {chain}")
