"""Rule files to a set of rules, or every problem in them: never half a set."""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from outrider_rules.catalogue import Catalogue
from outrider_rules.check import Checker
from outrider_rules.document import RuleSource
from outrider_rules.drafts import ListDraft, RuleDraft
from outrider_rules.gather import Definitions
from outrider_rules.macros import MacroBook, note_circles, only_unknown_fields
from outrider_rules.nodes import MAX_PROBLEMS, note
from outrider_rules.order import dependency_order
from outrider_rules.output import Output, check_output
from outrider_rules.problems import Problem, RulesError, shown
from outrider_rules.reader import ConditionError
from outrider_rules.respond import why_not_deny
from outrider_rules.rule import SEVERITY_OF, Rule, default_finding
from outrider_rules.ruleset import RuleSet
from outrider_rules.specialise import OTHER_TYPES, Specialiser, named_types
from outrider_rules.syntax import parse_condition
from outrider_rules.text import Text
from outrider_rules.tree import Checked, tests

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
    macros = MacroBook(definitions.macros, checker)
    macros.check(problems)
    types: set[str] = set()
    rules: list[Rule] = []
    for draft in definitions.rules.values():
        if len(problems) >= MAX_PROBLEMS:
            break
        rule = _check_rule(draft, checker, macros, catalogue, problems)
        if rule is not None:
            rules.append(rule)
            types |= named_types(rule.condition)
    macros.note_unknown(problems)
    if problems:
        raise RulesError(problems[:MAX_PROBLEMS])
    return RuleSet(_with_types(rules, frozenset(types)), catalogue, frozenset(types))


def _unfold_lists(drafts: dict[str, ListDraft], problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    graph = {name: [item.value for item in draft.items] for name, draft in drafts.items()}
    ordered, circles = dependency_order(graph)
    note_circles("list", circles, {name: draft.name for name, draft in drafts.items()}, problems)
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


def _check_rule(
    draft: RuleDraft, checker: Checker, macros: MacroBook, catalogue: Catalogue, problems: list[Problem]
) -> Rule | None:
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
        macros.excuse(parsed)
        return _rule(draft, False, Output([]), why_not=f"blind: no events of source {shown(source)} here")
    condition, errors = checker.check(parsed)
    output, output_errors = check_output(values["output"].value, catalogue)
    fold_text: Text | None = values.get("fold")
    fold, fold_errors = check_output(fold_text.value, catalogue) if fold_text is not None else (None, [])
    every = [*errors, *output_errors, *fold_errors]
    unused = [] if values.get("skip-if-unknown-filter") else list(_unknown_in_exceptions(draft, checker))
    problems.extend(unused)
    if values.get("skip-if-unknown-filter"):
        macros.excuse(parsed)
        reason = every[0].message if only_unknown_fields(every) else "" if every else macros.why_blind(parsed)
        if reason:
            return _rule(draft, False, Output([]), why_not=f"blind: {reason}")
    else:
        macros.blame(parsed)
    problems.extend(condition_text.problem(error.at, error.message, error.hint) for error in errors)
    problems.extend(values["output"].problem(error.at, error.message, error.hint) for error in output_errors)
    if fold_text is not None:
        problems.extend(fold_text.problem(error.at, error.message, error.hint) for error in fold_errors)
    if every or unused or _refuse_response(draft, condition, problems):
        return None
    return _rule(draft, condition, output, fold=fold)


def _unknown_in_exceptions(draft: RuleDraft, checker: Checker) -> Iterator[Problem]:
    """Fields of exceptions that have no values yet, and so are not in the condition."""
    for exception in draft.values.get("exceptions", ()):
        for field in exception.fields if not exception.rows else ():
            _, errors = checker.check(parse_condition(f"{field.value} exists"))
            yield from (Text.of(field).problem(error.at, error.message, error.hint) for error in errors)


def _refuse_response(draft: RuleDraft, condition: Checked, problems: list[Problem]) -> bool:
    """Whether the rule asks for a response that it cannot give; that is noted."""
    text: Text | None = draft.values.get("respond")
    reason = why_not_deny(condition) if text is not None else None
    if text is not None and reason is not None:
        problems.append(text.problem(0, *reason))
    return reason is not None


def _rule(
    draft: RuleDraft, condition: Checked, output: Output, *, fold: Output | None = None, why_not: str = ""
) -> Rule:
    values = draft.values
    enabled = values.get("enabled", True)
    place = draft.name.source.problem(draft.name.start, "")
    priority = values.get("priority", "NOTICE")
    name = draft.name.value.strip()
    pairs = [(test.operand, test.other) for test in tests(condition)]
    sources = [source for pair in pairs for operand in pair if operand is not None for source in operand.sources]
    operands = {operand.key: operand for operand in sources}
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
        respond="deny" if "respond" in values else "",
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
