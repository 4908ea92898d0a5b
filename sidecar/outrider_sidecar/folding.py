"""Repeats: which findings say nothing new. Bounded, and what is folded is counted."""

from collections import OrderedDict
from typing import Final

from outrider_rules import Rule
from outrider_sidecar.fields.context import Context

FOLD_FOR_NS: Final = 3600 * 1_000_000_000
"""A repeat within an hour is folded; then it is told of again."""
MAX_KEYS: Final = 8_192
MAX_A_MINUTE: Final = 120
"""Most findings of one rule in a minute; a storm of them says no more than its beginning, and the events remain."""
MINUTE_NS: Final = 60 * 1_000_000_000


class Folding:
    """Remembers what was told. `folded` counts what was not."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, int, str], int] = OrderedDict()
        self._minutes: dict[str, tuple[int, int]] = {}
        self.folded = 0

    def is_repeat(self, rule: Rule, context: Context) -> bool:
        """True where this is to be folded into an earlier finding."""
        at_ns = context.event.at_ns
        repeat = self._is_known(rule, context, at_ns) or self._is_storm(rule.name, at_ns)
        self.folded += repeat
        return repeat

    def _is_known(self, rule: Rule, context: Context, at_ns: int) -> bool:
        fold_key = rule.fold_key(context)
        if fold_key is None:
            return False
        key = (rule.name, context.container.mnt_ns if context.container else 0, fold_key)
        last_ns = self._told.get(key)
        if last_ns is not None and at_ns - last_ns < FOLD_FOR_NS:
            return True
        self._told[key] = at_ns
        self._told.move_to_end(key)
        if len(self._told) > MAX_KEYS:
            self._told.popitem(last=False)
        return False

    def _is_storm(self, name: str, at_ns: int) -> bool:
        minute, count = self._minutes.get(name, (0, 0))
        this_minute = at_ns // MINUTE_NS
        count = count + 1 if minute == this_minute else 1
        self._minutes[name] = (this_minute, count)
        return count > MAX_A_MINUTE
