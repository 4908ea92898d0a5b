"""What is to become of a document: the definitions found in it, the edits, and what is to be said of each."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from outrider_cdk.rewriting import Edit, GuardOptions, Path, Problem, Rewritten, guard, unguard
from outrider_cdk.rewriting.edits import Append, Delete, Insert, Replace
from outrider_cdk.rewriting.problems import error

Json = dict[str, Any]
"""Any: a document, which may hold anything."""

SHOWN: Final = 20
"""Most names that are listed where one is misspelt."""

Outcome = Literal["guarded", "removed", "unchanged", "refused", "left out"]


@dataclass(frozen=True, slots=True)
class Target:
    """One task definition of a document: where it is, what it is called, and what became of it."""

    path: Path
    name: str
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for. Without `options` the sidecar is taken out.

    `only` are the names to guard, all where it is empty; `leave_out` are names to leave alone.
    """

    options: GuardOptions | None
    only: frozenset[str] = frozenset()
    leave_out: frozenset[str] = frozenset()

    def unmatched(self, targets: "Iterable[Target]") -> list[Problem]:
        """A name to guard, or to leave alone, that is none of these: misspelt, it would be passed over in silence."""
        names = sorted({target.name for target in targets})
        there = f"There are: {', '.join(names[:SHOWN])}." if names else "There are none."
        return [
            error((), "no-such-name", f"Nothing here is called {name!r}.", there)
            for name in sorted((self.only | self.leave_out) - set(names))
        ]

    def why_not(self, name: str) -> str:
        """Why the one of that name is not to be touched; empty where it is."""
        if name in self.leave_out:
            return "asked to be left out"
        return "" if not self.only or name in self.only else "not asked for"


@dataclass(frozen=True)
class Plan:
    """The edits for a document of one kind, and what is said of it. With an error there are no edits."""

    kind: str
    targets: tuple[Target, ...] = ()
    edits: tuple[Edit, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether something forbade it."""
        return any(problem.severity == "error" for problem in self.problems)


@dataclass
class Draft:
    """A plan while it is made; nothing outside of this package sees one."""

    kind: str
    targets: list[Target] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def take(self, path: Path, name: str, wish: Wish, rewritten: Rewritten) -> None:
        """What the rewriter says of the definition at a path."""
        self.settle(path, name, wish, at(path, rewritten.edits), below(path, rewritten.problems))

    def settle(self, path: Path, name: str, wish: Wish, edits: Iterable[Edit], problems: Iterable[Problem]) -> None:
        """The same with edits and problems that name places of the document already."""
        edits, problems = list(edits), list(problems)
        refused = any(problem.severity == "error" for problem in problems)
        done: Outcome = "removed" if wish.options is None else "guarded"
        outcome: Outcome = "refused" if refused else done if edits else "unchanged"
        why = next((problem.says for problem in problems if problem.severity == "error"), "")
        self.targets.append(Target(path, name, outcome, why))
        self.edits += [] if refused else edits
        self.problems += problems

    def finished(self) -> Plan:
        """The plan; none of the edits where anything was refused, so that no document is left half done."""
        plan = Plan(self.kind, tuple(self.targets), tuple(self.edits), tuple(self.problems))
        if not plan.refused:
            return plan
        held = tuple(_held_back(target) for target in plan.targets)
        return replace(plan, edits=(), targets=held)


def _held_back(target: Target) -> Target:
    if target.outcome not in ("guarded", "removed"):
        return target
    return replace(target, outcome="unchanged", why="held back, because something else in the document was refused")


def rewrite(definition: Any, options: GuardOptions | None) -> Rewritten:
    """The definition guarded, or without options as it was before; `definition` is any value of JSON."""
    return unguard(definition) if options is None else guard(definition, options)


def at(path: Path, edits: Iterable[Edit]) -> list[Edit]:
    """Edits of a part of a document, as edits of the document."""
    return [_at(path, edit) for edit in edits]


def _at(path: Path, edit: Edit) -> Edit:
    match edit:
        case Insert(rest, value):
            return Insert(path + rest, value)
        case Append(rest, value):
            return Append(path + rest, value)
        case Replace(rest, value):
            return Replace(path + rest, value)
        case Delete(rest):
            return Delete(path + rest)


def below(path: Path, problems: Iterable[Problem]) -> list[Problem]:
    """Problems of a part of a document, as problems of the document."""
    return [replace(problem, path=path + problem.path) for problem in problems]
