"""When the changes in a directory were seen: since a moment, but for gaps. Pure.

Silence proves something only of a time that was seen. A loss of sight makes a gap of its own and takes nothing from
the time before it: what was heard then was heard. All times are ns since the epoch.
"""

from typing import Final, NamedTuple

from msgspec import Struct

from outrider_wire.events import Event, FileChanged, SightLost

MAX_GAPS: Final = 32
"""Most gaps told apart of one container; past that the two that lie nearest to each other are taken for one."""

ALWAYS: Final = 0
"""The beginning of a gap of which nobody can say when it began."""
OPEN: Final = 1 << 63
"""The end of a gap that has none yet."""

_MAKES: Final = ("created", "linked", "moved_in", "written")


class Gap(NamedTuple):
    """A time in which a change may have gone unseen, both ends included."""

    since_ns: int
    until_ns: int


class Sight(Struct, frozen=True, gc=False):
    """Since when changes are seen, and when they were not for a while."""

    since_ns: int
    gaps: tuple[Gap, ...] = ()

    def was_had(self, at_ns: int) -> bool:
        """Whether a change at that time would have been told of."""
        return at_ns >= self.since_ns and not any(gap.since_ns <= at_ns <= gap.until_ns for gap in self.gaps)


def add_gap(gaps: tuple[Gap, ...], gap: Gap, *, most: int = MAX_GAPS) -> tuple[Gap, ...]:
    """The gaps with one more, in their order; those that touch are one."""
    joined = list[Gap]()
    for each in sorted((*gaps, gap)):
        if joined and each.since_ns <= joined[-1].until_ns:
            joined[-1] = _span(joined[-1], each)
        else:
            joined.append(each)
    while len(joined) > most:
        at = min(range(len(joined) - 1), key=lambda n: joined[n + 1].since_ns - joined[n].until_ns)
        joined[at : at + 2] = [_span(joined[at], joined[at + 1])]
    return tuple(joined)


def end_gap(gaps: tuple[Gap, ...], at_ns: int) -> tuple[Gap, ...]:
    """The gaps, that one at its end which lasts at `at_ns`."""
    return tuple(Gap(gap.since_ns, at_ns) if gap.since_ns <= at_ns < gap.until_ns else gap for gap in gaps)


def unseen_since(lost: Event) -> int:
    """From when on what an event tells of may go unseen where the event itself was lost; OPEN where nothing may.

    A file's change shows in its ctime, which may be earlier than when it was told of.
    """
    if isinstance(lost, FileChanged):
        if lost.change not in _MAKES:
            return OPEN
        return min(lost.at_ns, lost.file.ctime_ns or lost.at_ns)
    if isinstance(lost, SightLost) and lost.sense == "file" and not lost.standing:
        return lost.since_ns
    return OPEN


def _span(one: Gap, other: Gap) -> Gap:
    return Gap(min(one.since_ns, other.since_ns), max(one.until_ns, other.until_ns))
