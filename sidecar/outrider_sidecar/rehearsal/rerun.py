"""Running rules over recorded events: a world is built up again of what was recorded, and judged anew.

What a recording cannot give back: forks without an exec and ends of processes (they are not sent), what a look at
living processes would have found (descriptors, libraries, files' authors), names of containers, and when each
container was created: its first event stands for that, or `baseline_ns`.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from outrider_rules import RuleSet
from outrider_sidecar.intel import Intel
from outrider_sidecar.rehearsal.stage import TICK_S, Stage
from outrider_wire.events import Event
from outrider_wire.findings import Finding

MAX_QUIET_S: Final = 1.0
"""Longest pause between two events that is lived through; what is longer changes nothing more."""
REMEMBERED: Final = 256
"""Facts that followed from an event and may stand in the recording too, where they are not judged twice."""

NEVER_RECORDED: Final = (
    "forks without an exec and ends of processes, what living processes held open, and names of containers"
)


def rerun(events: Sequence[Event], rules: RuleSet, *, baseline_ns: int = 0, intel: Intel) -> list[Finding]:
    """The findings of rules about recorded events, in their order. `baseline_ns` 0: each container's first event."""
    first: dict[int, int] = {}
    for event in events:
        first.setdefault(getattr(event, "mnt_ns", 0), event.at_ns)
    start_ns = events[0].at_ns if events else 0
    stage = Stage(
        rules,
        baseline_ns=lambda mnt_ns: baseline_ns or first.get(mnt_ns, start_ns),
        intel=intel,
        agent="replay",
    )
    followed: deque[Event] = deque(maxlen=REMEMBERED)
    for event in events:
        quiet_s = (event.at_ns - start_ns) / 1e9 - stage.seconds
        if quiet_s > TICK_S:
            stage.let_pass(min(quiet_s, MAX_QUIET_S))
            stage.seconds = max(stage.seconds, (event.at_ns - start_ns) / 1e9)
        if event in followed:
            continue
        stage.told.clear()
        stage.handle(event)
        followed.extend(fact for fact in stage.told if fact is not event)
    stage.settle()
    return stage.found
