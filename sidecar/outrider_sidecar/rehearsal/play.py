"""Playing transcripts: each step's findings against what was expected of it."""

from msgspec import Struct

from outrider_rules import Rule, RuleSet
from outrider_rules.interpret import operand_value
from outrider_rules.transforms import as_text
from outrider_sidecar.intel import Intel
from outrider_sidecar.rehearsal.stage import Stage
from outrider_sidecar.rehearsal.steps import BORN_NS
from outrider_sidecar.rehearsal.transcript import Step, Transcript
from outrider_wire.events import Event
from outrider_wire.findings import Finding

MAX_VALUE = 80
"""Longest value of a field shown in a failure, in characters."""


class Failure(Struct, frozen=True):
    """One step that did not go as expected. `values` are the fields that a rule that should have held decides by."""

    step: int
    line: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    values: tuple[str, ...] = ()


def play(transcript: Transcript, rules: RuleSet, domains: dict[str, str]) -> list[Failure]:
    """Run a transcript on a fresh stage; the steps that failed."""
    stage = Stage(rules, baseline_ns=BORN_NS, intel=Intel(domains), watched=transcript.watched)
    failures = []
    for number, step in enumerate(transcript.steps, 1):
        before = len(stage.found)
        first_told = len(stage.told)
        stage.handle(step.event)
        stage.settle()
        failure = _compare(number, step, stage.found[before:])
        if failure is not None:
            told = stage.told[first_told:]
            failures.append(_with_values(failure, stage, rules, told))
    return failures


def _compare(number: int, step: Step, found: list[Finding]) -> Failure | None:
    left = list(found)
    missing = []
    for name in step.expect:
        match = next((finding for finding in left if name in (finding.rule, finding.type)), None)
        if match is None:
            missing.append(name)
        else:
            left.remove(match)
    if not missing and not left:
        return None
    unexpected = tuple(f"{finding.rule} ({finding.type}): {finding.description}" for finding in left)
    return Failure(number, step.line, tuple(missing), unexpected)


def _with_values(failure: Failure, stage: Stage, rules: RuleSet, told: list[Event]) -> Failure:
    """The failure with what the missing rules saw of each event of the step."""
    lines = []
    for rule in rules.rules:
        if rule.name in failure.missing or rule.finding in failure.missing:
            lines.append(f"{rule.name} is at {rule.where}" + ("" if rule.armed else f", {rule.why_not}"))
            lines += [f"  {line}" for event in told for line in _seen(rule, stage, event)]
    return Failure(failure.step, failure.line, failure.missing, failure.unexpected, tuple(lines))


def _seen(rule: Rule, stage: Stage, event: Event) -> list[str]:
    context = stage.context(event)
    shown = []
    for operand in rule.operands:
        value = operand_value(operand, context)
        text = "(absent)" if value is None else as_text(value)
        shown.append(f"{operand.shown} = {text[:MAX_VALUE]}")
    return list(dict.fromkeys(shown))
