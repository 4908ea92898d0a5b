"""The file watch of a host as the engine sees it: told by the lookout's events what is marked, inotify for the rest.

The lookout marks containers by itself and says so by FilesWatched. So there is little to do here but to remember since
when that holds. A container that cannot be marked, or of which nothing is heard, is handed to an inotify watch inside.

A loss anywhere between the kernel and the engine makes the silence of that time worthless, of each container. Where the
lookout itself lost sight it looks through the containers' layers, and says FilesWatched again when that is done: until
then what changed may have been made in the gap, and changed again after it.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from outrider_sidecar.log import say
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.files import FileSensor
from outrider_sidecar.sensors.files.scan import Bounds
from outrider_sidecar.sensors.host.partial import read_unwatched
from outrider_sidecar.sight import ALWAYS, Gap, Sight, add_gap, end_gap
from outrider_wire.events import Event, FilesWatched, SightLost

HEAR_S: Final = 3.0
"""How long a container is waited for to be marked, before inotify watches it."""
MAX_CONTAINERS: Final = 4_096
"""Most containers that are marked and not added yet; past that the oldest is forgotten, and waited for in vain."""

SEARCH_MOST_NS: Final = 60_000_000_000
"""Longest that it is waited to hear that the layers were looked through: that, too, may be lost on the way."""

_ON_THE_WAY: Final = ("file", "process", "engine")
"""The senses by which a file's change reaches the engine."""


class Asked(NamedTuple):
    """A container that the engine wants watched."""

    anchor_pid: int
    places: tuple[str, ...]
    baseline_ns: int
    due_s: float


class Heard(NamedTuple):
    """How a container is watched: not below `but`; `sight` None where it is not marked, and `why`."""

    sight: Sight | None
    but: tuple[str, ...] = ()
    why: str = ""


class MarkedFiles:
    """Has the shape of FileWatch. All but `run` is called in the engine's thread."""

    name = "fanotify"

    def __init__(
        self,
        *,
        on_unmount: Callable[[int], None] = lambda _: None,
        pids_of: Callable[[int], Iterable[int]] = lambda _: (),
        on_scanned: Callable[[int, int, int], None] = lambda _mnt_ns, _directories, _unwatched: None,
        bounds: Bounds = Bounds(),  # noqa: B008 - a constant
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inotify = FileSensor(pids_of=pids_of, on_unmount=on_unmount, on_scanned=on_scanned, bounds=bounds)
        self._clock_s = clock_s
        self._asked: dict[int, Asked] = {}
        self._heard: dict[int, Heard] = {}
        self._unheard: set[int] = set()
        self._by_inotify: set[int] = set()

    def add_root(
        self, mnt_ns: int, anchor_pid: int, extra_places: tuple[str, ...] = (), *, baseline_ns: int = 0
    ) -> None:
        """Watch a container, by whichever means; see FileSensor."""
        known = self._asked.get(mnt_ns)
        due_s = known.due_s if known else self._clock_s() + HEAR_S
        places = (*known.places, *extra_places) if known else extra_places
        self._asked[mnt_ns] = Asked(anchor_pid, places, baseline_ns, due_s)
        heard = self._heard.get(mnt_ns)
        if mnt_ns in self._by_inotify:
            self._inotify.add_root(mnt_ns, anchor_pid, extra_places, baseline_ns=baseline_ns)
        elif heard is not None and heard.sight is None:
            self._to_inotify(mnt_ns, heard.why)
        elif heard is None:
            self._unheard.add(mnt_ns)

    def remove_root(self, mnt_ns: int) -> None:
        """Stop watching a container."""
        self._asked.pop(mnt_ns, None)
        self._heard.pop(mnt_ns, None)
        self._unheard.discard(mnt_ns)
        self._leave_inotify(mnt_ns)

    def learn(self, event: Event) -> None:
        """Take in what the lookout says of containers and of losses."""
        if isinstance(event, FilesWatched):
            self._hear(event)
        elif isinstance(event, SightLost) and not event.standing and event.sense in _ON_THE_WAY:
            self._lose(event)
            self._inotify.learn(event)

    def sight(self, mnt_ns: int, directory: str) -> Sight | None:
        """When the changes in a directory were seen; None where that cannot be said."""
        heard = self._heard.get(mnt_ns)
        if heard is None or heard.sight is None:
            return self._inotify.sight(mnt_ns, directory)
        below = directory.rstrip("/") + "/"
        return None if any(below.startswith(but + "/") for but in heard.but) else heard.sight

    def caught_up(self) -> bool:
        """A change stands in the pipe before the exec that follows it; of inotify's containers it must be asked."""
        return not self._by_inotify or self._inotify.caught_up()

    def settled(self) -> bool:
        """Nobody waits to be watched."""
        return self._all_heard() and self._inotify.settled()

    def important_done(self) -> bool:
        """Every container so far is marked, or watched where it matters."""
        return self._all_heard() and (not self._by_inotify or self._inotify.important_done())

    @property
    def left(self) -> int:
        """How many containers and directories wait to be watched."""
        return len(self._unheard) + self._inotify.left

    @property
    def directories(self) -> int:
        """How many directories inotify watches; a mark needs none."""
        return self._inotify.directories

    @property
    def marked(self) -> int:
        """How many containers are marked."""
        return sum(heard.sight is not None for heard in self._heard.values())

    @property
    def by_inotify(self) -> int:
        """How many are left to inotify, because they cannot be marked."""
        return len(self._by_inotify)

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Watch by inotify what is handed to it, until `stop`."""
        self._inotify.run(emit, stop)

    def wake(self) -> None:
        """Make `run` look at `stop` at once."""
        self._inotify.wake()

    def close(self) -> None:
        """Give back what the constructor took; after `run` ended, or where it never began."""
        self._inotify.close()

    def _hear(self, event: FilesWatched) -> None:
        mnt_ns = event.mnt_ns
        self._heard[mnt_ns] = Heard(self._sight_after(event), read_unwatched(event.reason), event.reason)
        self._unheard.discard(mnt_ns)
        if event.sensor:
            self._leave_inotify(mnt_ns)
        elif mnt_ns in self._asked:
            self._to_inotify(mnt_ns, event.reason)
        if len(self._heard) > MAX_CONTAINERS:
            del self._heard[next(iter(self._heard))]

    def _sight_after(self, event: FilesWatched) -> Sight | None:
        """The end of a gap, where one lasts at that time: sight was had before it, too. Else new marks."""
        if not event.sensor:
            return None
        heard = self._heard.get(event.mnt_ns)
        before = heard.sight if heard is not None else None
        if before is None or event.since_ns < before.since_ns or before.was_had(event.since_ns):
            return Sight(event.since_ns)
        return Sight(before.since_ns, end_gap(before.gaps, event.since_ns))

    def _lose(self, lost: SightLost) -> None:
        until_ns = lost.at_ns + SEARCH_MOST_NS if lost.sense == "file" else lost.at_ns
        gap = Gap(lost.since_ns or ALWAYS, until_ns)
        for mnt_ns, heard in self._heard.items():
            if heard.sight is not None:
                sight = Sight(heard.sight.since_ns, add_gap(heard.sight.gaps, gap))
                self._heard[mnt_ns] = heard._replace(sight=sight)

    def _all_heard(self) -> bool:
        """Whether every container was heard of; one that is overdue is handed to inotify."""
        for mnt_ns in [mnt_ns for mnt_ns in self._unheard if self._asked[mnt_ns].due_s <= self._clock_s()]:
            self._unheard.discard(mnt_ns)
            self._to_inotify(mnt_ns, f"nothing was heard of its marks for {HEAR_S:g} s")
        return not self._unheard

    def _to_inotify(self, mnt_ns: int, why: str) -> None:
        asked = self._asked[mnt_ns]
        if mnt_ns not in self._by_inotify:
            self._by_inotify.add(mnt_ns)
            said = "the files of a container are watched by inotify, which names no process"
            say(said, sense="file", mnt_ns=mnt_ns, reason=why)
        self._inotify.add_root(mnt_ns, asked.anchor_pid, asked.places, baseline_ns=asked.baseline_ns)

    def _leave_inotify(self, mnt_ns: int) -> None:
        if mnt_ns in self._by_inotify:
            self._by_inotify.discard(mnt_ns)
            self._inotify.remove_root(mnt_ns)
