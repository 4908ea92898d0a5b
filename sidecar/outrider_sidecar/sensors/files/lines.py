"""The lines in which directories wait to be visited: by urgency, then in turn.

Within one urgency every place of a container is a stem of its own: its directories are visited breadth first, and
stems take turns. So one huge tree delays no other, and what a bound leaves out is the deepest of the largest. A stem
that has put many directories in a line for what is near goes on in the last line.
"""

from collections import OrderedDict, deque
from typing import Final, NamedTuple

from outrider_sidecar.sensors.files.places import DEEP, IMPORTANT, NEAR, RANKS
from outrider_sidecar.sensors.files.tree import GuardedRoot, Watched
from outrider_wire.events import FileChange

NEW: Final = 0
"""The line of directories that appeared under watch; those of scans stand behind it, by rank."""
BEHIND_NEW: Final = 1
NOWHERE: Final = -1
LINES: Final = BEHIND_NEW + RANKS

NEAR_SHARE: Final = 1_024
"""Most directories of one stem that are visited before the large trees."""


class Stem:
    """A place whose directories wait together; `pushed` counts them."""

    __slots__ = ("pushed",)

    def __init__(self) -> None:
        self.pushed = 0


class Visit(NamedTuple):
    """A directory to watch and list: `name` below `parent`, or the absolute path `name`.

    `line` is where it waits, `below` where the directories in it will (NOWHERE: they are not looked for). `label` is
    how its content is to be told of: None in a first scan. `since_ns`: content that changed at or after this is
    `found`; 0 for none.
    """

    root: GuardedRoot
    line: int
    below: int
    stem: Stem
    parent: Watched | None
    name: bytes
    label: FileChange | None
    since_ns: int
    shallow: bool = False
    again: bool = False

    @property
    def important(self) -> bool:
        """Whether it is the own level of a place."""
        return self.line - BEHIND_NEW in IMPORTANT


class Lines:
    """Who waits. The counts of a container are kept in its GuardedRoot."""

    def __init__(self) -> None:
        self._lines: tuple[dict[int, OrderedDict[Stem, deque[Visit]]], ...] = tuple({} for _ in range(LINES))
        self._roots: dict[int, GuardedRoot] = {}
        self.waiting = 0

    def push(self, visit: Visit) -> None:
        """Put a visit at the end of its stem's line."""
        if visit.line == BEHIND_NEW + NEAR and visit.stem.pushed >= NEAR_SHARE:
            visit = visit._replace(line=BEHIND_NEW + DEEP, below=BEHIND_NEW + DEEP)
        visit.stem.pushed += 1
        self.waiting += 1
        visit.root.to_scan += 1
        visit.root.important_to_scan += visit.important
        self._roots[visit.root.mnt_ns] = visit.root
        stems = self._lines[visit.line].setdefault(visit.root.mnt_ns, OrderedDict())
        stems.setdefault(visit.stem, deque()).append(visit)

    def pop(self, root: GuardedRoot) -> Visit | None:
        """The next of a container; None where it has none, or another container's are more urgent."""
        for line in self._lines:
            if not line:
                continue
            stems = line.get(root.mnt_ns)
            if stems is None:
                return None
            stem, waiting = next(iter(stems.items()))
            visit = waiting.popleft()
            stems.move_to_end(stem)
            if not waiting:
                del stems[stem]
            if not stems:
                del line[root.mnt_ns]
            self.waiting -= 1
            return visit
        return None

    def visited(self, visit: Visit) -> None:
        """Count a visit as done: only now, because the counts say that all is watched."""
        visit.root.to_scan -= 1
        visit.root.important_to_scan -= visit.important

    def next_root(self) -> GuardedRoot | None:
        """The container whose directories are most urgent; containers of one urgency take turns."""
        for line in self._lines:
            for mnt_ns in line:
                line[mnt_ns] = line.pop(mnt_ns)
                return self._roots[mnt_ns]
        return None

    def forget(self, root: GuardedRoot) -> None:
        """Take a container out of every line."""
        root.to_scan = root.important_to_scan = 0
        self._roots.pop(root.mnt_ns, None)
        for line in self._lines:
            self.waiting -= sum(map(len, line.pop(root.mnt_ns, {}).values()))
