"""Rule files to a set of rules, or every problem in them: never half a set."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from outrider_rules.catalogue import Catalogue
from outrider_rules.check import UNKNOWN_FIELD, Checker
from outrider_rules.document import RuleSource, Scalar
from outrider_rules.drafts import ListDraft, RuleDraft
from outrider_rules.gather import Definitions
from outrider_rules.nodes import MAX_PROBLEMS, note
from outrider_rules.order import dependency_order
from outrider_rules.output import Output, check_output
from outrider_rules.problems import Problem, RulesError, shown
from outrider_rules.reader import ConditionError
from outrider_rules.rule import SEVERITY_OF, Rule, default_finding
from outrider_rules.ruleset import RuleSet
from outrider_rules.specialise import OTHER_TYPES, Specialiser, named_types
from outrider_rules.syntax import parse_condition
from outrider_rules.text import Text
from outrider_rules.tree import And, Checked, Macro, MacroName, Not, Or, Parsed, height, tests

SYSCALL_SOURCE: Final = "syscall"
"""The only source of events there is here; rules for another are kept, and never armed."""

MAX_LIST_ITEMS: Final = 2_000_000
"""Most items all lists may hold together after unfolding."""


def load_rules(sources: Iterable[RuleSource], catalogue: Catalogue) -> RuleSet:
    """Load rule files in their order; a later file may replace, append to and override what earlier ones define.

    Raises: RulesError with every problem found; nothing is loaded then.
    """
    definitions = Definitions()
    for source in sources:
        definitions.add_source(source)
    problems = definitions.problems
    lists = _unfold_lists(definitions.lists, problems)
    checker = Checker(catalogue, lists)
    _check_macros(definitions, checker, problems)
    types: set[str] = set()
    rules: list[Rule] = []
    for draft in definitions.rules.values():
        if len(problems) >= MAX_PROBLEMS:
            break
        rule = _check_rule(draft, checker, catalogue, problems)
        if rule is not None:
            rules.append(rule)
            types |= named_types(rule.condition)
    if problems:
        raise RulesError(problems[:MAX_PROBLEMS])
    return RuleSet(_with_types(rules, frozenset(types)), catalogue, frozenset(types))


def _unfold_lists(drafts: dict[str, ListDraft], problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    graph = {name: [item.value for item in draft.items] for name, draft in drafts.items()}
    ordered, circles = dependency_order(graph)
    _note_circles("list", circles, {name: draft.name for name, draft in drafts.items()}, problems)
    lists: dict[str, tuple[str, ...]] = {}
    total = 0
    for name in ordered:
        items: dict[str, None] = {}
        for item in drafts[name].items:
            nested = lists.get(item.value)
            items.update(dict.fromkeys(nested if nested is not None else (_unquoted(item.value),)))
        lists[name] = tuple(items)
        total += len(items)
        if total > MAX_LIST_ITEMS:
            note(problems, drafts[name].name, f"all lists together hold more than {MAX_LIST_ITEMS} items")
            break
    return lists


def _unquoted(item: str) -> str:
    """An item as a value: quotes inside the YAML text are the language's own."""
    return item[1:-1] if len(item) > 1 and item[0] == item[-1] and item[0] in "'\"" else item


def _check_macros(definitions: Definitions, checker: Checker, problems: list[Problem]) -> None:
    """Check every macro, each after those it uses."""
    parsed: dict[str, Parsed] = {}
    for name, draft in definitions.macros.items():
        try:
            parsed[name] = parse_condition(draft.condition.value)
        except ConditionError as error:
            problems.append(draft.condition.problem(error.at, error.message, error.hint))
            parsed[name] = And(())
    ordered, circles = dependency_order({name: _macro_names(tree) for name, tree in parsed.items()})
    _note_circles("macro", circles, {name: draft.name for name, draft in definitions.macros.items()}, problems)
    in_circles = {name for circle in circles for name in circle}
    for name in ordered:
        checked: Checked = False
        if name not in in_circles and len(problems) < MAX_PROBLEMS:
            checked, errors = checker.check(parsed[name])
            text = definitions.macros[name].condition
            problems.extend(text.problem(error.at, error.message, error.hint) for error in errors)
            checked = False if errors else checked
        checker.macros[name] = Macro(name, checked, height(checked) + 1)


def _macro_names(tree: Parsed) -> list[str]:
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


def _note_circles(kind: str, circles: list[list[str]], places: dict[str, Scalar], problems: list[Problem]) -> None:
    for circle in circles:
        steps = circle if len(circle) < 12 else [*circle[:10], "…", circle[0]]
        chain = " → ".join(f"`{shown(name)}`" for name in steps)
        note(problems, places[circle[0]], f"{kind}s that name one another in a circle: {chain}")


def _check_rule(draft: RuleDraft, checker: Checker, catalogue: Catalogue, problems: list[Problem]) -> Rule | None:
    values = draft.values
    if "condition" not in values or "output" not in values:
        return None
    condition_text = draft.condition
    try:
        parsed = parse_condition(condition_text.value)
    except ConditionError as error:
        problems.append(condition_text.problem(error.at, error.message, error.hint))
        return None
    source = values.get("source", SYSCALL_SOURCE)
    if source != SYSCALL_SOURCE:
        return _rule(draft, False, Output([]), why_not=f"blind: no events of source {shown(source)} here")
    condition, errors = checker.check(parsed)
    output, output_errors = check_output(values["output"].value, catalogue)
    fold_text: Text | None = values.get("fold")
    fold, fold_errors = check_output(fold_text.value, catalogue) if fold_text is not None else (None, [])
    every = [*errors, *output_errors, *fold_errors]
    if values.get("skip-if-unknown-filter") and _only_unknown_fields(every):
        return _rule(draft, False, Output([]), why_not=f"blind: {every[0].message}")
    problems.extend(condition_text.problem(error.at, error.message, error.hint) for error in errors)
    problems.extend(values["output"].problem(error.at, error.message, error.hint) for error in output_errors)
    if fold_text is not None:
        problems.extend(fold_text.problem(error.at, error.message, error.hint) for error in fold_errors)
    return None if every else _rule(draft, condition, output, fold=fold)


def _only_unknown_fields(errors: list[ConditionError]) -> bool:
    return bool(errors) and all(error.message.startswith(UNKNOWN_FIELD) for error in errors)


def _rule(
    draft: RuleDraft, condition: Checked, output: Output, *, fold: Output | None = None, why_not: str = ""
) -> Rule:
    values = draft.values
    enabled = values.get("enabled", True)
    place = draft.name.source.problem(draft.name.start, "")
    priority = values.get("priority", "NOTICE")
    name = draft.name.value.strip()
    pairs = [(test.operand, test.other) for test in tests(condition)]
    operands = {operand.key: operand for pair in pairs for operand in pair if operand is not None}
    return Rule(
        name=name,
        finding=values.get("finding") or default_finding(name),
        severity=values.get("severity") or SEVERITY_OF[priority],
        priority=priority,
        title=values.get("title") or name,
        desc=values.get("desc", ""),
        remedy=values.get("remedy", ""),
        tags=tuple(values.get("tags", ())),
        enabled=enabled,
        source=values.get("source", SYSCALL_SOURCE),
        output=output,
        fold=fold,
        condition=condition,
        operands=tuple(operands.values()),
        file=place.file,
        line=place.line,
        armed=enabled and not why_not,
        why_not=why_not or ("" if enabled else "off: enabled is false"),
        sees=values.get("sees", ""),
        misses=values.get("misses", ""),
        noise=values.get("noise", ""),
    )


def _with_types(rules: list[Rule], types: frozenset[str]) -> list[Rule]:
    """The rules with the types of event that each can hold for."""
    cutters = {event_type: Specialiser(event_type) for event_type in types}
    other = Specialiser(OTHER_TYPES)
    done: list[Rule] = []
    for rule in rules:
        if other.cut(rule.condition) is not False:
            done.append(rule)
            continue
        found = frozenset(name for name, cutter in cutters.items() if cutter.cut(rule.condition) is not False)
        done.append(replace(rule, event_types=found))
    return done
