"""Repeats: which findings say nothing new. Bounded; what is folded is counted, and a storm is told of itself.

Only what says the same as an earlier finding is folded: the rule says what "the same" is. A flood of different
findings is told as it is, up to a bound far above what ordinary work makes; from there on the flood is the finding,
because an intruder may raise it to hide one.
"""

from collections import OrderedDict
from typing import Final, Literal

from msgspec import Struct

from outrider_rules import Rule
from outrider_sidecar.fields.context import Context

FOLD_FOR_NS: Final = 3600 * 1_000_000_000
"""A repeat within an hour is folded; then it is told of again."""
MAX_KEYS: Final = 16_384
STORM: Final = 1_000
"""Most findings of one rule told of in a minute."""
MINUTE_NS: Final = 60 * 1_000_000_000

Verdict = Literal["tell", "repeat", "storm begins", "storm"]


class Minute(Struct):
    """How many findings of a rule came in one minute."""

    number: int = 0
    count: int = 0


class Folding:
    """Remembers what was told. `folded` counts what was not."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, int, str], int] = OrderedDict()
        self._minutes: dict[str, Minute] = {}
        self.folded = 0

    def judge(self, rule: Rule, context: Context) -> Verdict:
        """Whether to tell of this; `storm begins` comes once for each minute in which the bound is passed."""
        at_ns = context.event.at_ns
        key = self._key(rule, context)
        verdict: Verdict = "repeat" if key is not None and self._is_known(key, at_ns) else self._storm(rule.name, at_ns)
        if verdict == "tell" and key is not None:
            self._remember(key, at_ns)
        self.folded += verdict != "tell"
        return verdict

    def _key(self, rule: Rule, context: Context) -> tuple[str, int, str] | None:
        fold_key = rule.fold_key(context)
        if fold_key is None:
            return None
        return (rule.name, context.container.mnt_ns if context.container else 0, fold_key)

    def _is_known(self, key: tuple[str, int, str], at_ns: int) -> bool:
        last_ns = self._told.get(key)
        return last_ns is not None and at_ns - last_ns < FOLD_FOR_NS

    def _remember(self, key: tuple[str, int, str], at_ns: int) -> None:
        self._told[key] = at_ns
        self._told.move_to_end(key)
        if len(self._told) > MAX_KEYS:
            self._told.popitem(last=False)

    def _storm(self, name: str, at_ns: int) -> Verdict:
        minute = self._minutes.setdefault(name, Minute())
        if minute.number != at_ns // MINUTE_NS:
            minute.number, minute.count = at_ns // MINUTE_NS, 0
        minute.count += 1
        if minute.count <= STORM:
            return "tell"
        return "storm begins" if minute.count == STORM + 1 else "storm"
