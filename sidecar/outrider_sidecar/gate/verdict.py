"""Whether a program may start: the rules that respond, asked before the fact. Pure, in the engine's thread."""

from collections.abc import Sequence

from msgspec import Struct

from outrider_rules import Rule, RuleSet
from outrider_sidecar.expected import is_expected
from outrider_sidecar.fields.context import Context
from outrider_sidecar.settings import ExpectedDrift
from outrider_sidecar.world.kinds import event_type


class Verdict(Struct, frozen=True):
    """`rules` are those that refuse it; without any it may start.

    `is_old`: the file is of the image, whoever starts it. `may_change`: what the file watch has yet to tell may make
    it new, so whoever has time asks again.
    """

    rules: tuple[Rule, ...]
    is_old: bool
    may_change: bool


def judge(context: Context, rules: RuleSet, expected: Sequence[ExpectedDrift]) -> Verdict:
    """`rules` are the responding ones alone. What is expected drift, or of no known container, may start."""
    drift = context.exe_drift
    if context.container is None or drift is None:
        return Verdict((), is_old=False, may_change=False)
    held = tuple(rules.evaluate(event_type(context.event), context))
    is_old = drift.verdict == "old"
    may_change = not held and (drift.verdict == "undecided" or drift.by_silence)
    if held and is_expected(expected, context):
        held = ()
    return Verdict(held, is_old, may_change)
