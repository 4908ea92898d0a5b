"""Which containers' layers are being looked through, a little in each turn, and what is said when one is done.

A container is looked through when it is marked, and again after each loss of sight. Only then is it watched anew: what
was made while nothing was seen has been found by then, whatever was done to it since. However many losses there are,
one look follows the one that goes on, and begins where the first of them did.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.host.containers import Marked
from outrider_sidecar.sensors.host.found import Ground, Search
from outrider_wire.events import FilesWatched, SightLost

SENSE: Final = "file"
SENSOR: Final = "fanotify"

STEPS_EACH_TURN: Final = 16
"""Directories gone through in one turn, some 2 ms."""


class Searches:
    """The looks that go on, one for each container, in turn."""

    def __init__(self, *, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._going: deque[Search] = deque()
        self._lost: dict[int, tuple[int, list[Ground]]] = {}
        self._after_loss: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._going)

    def begin(self, container: Marked, grounds: Sequence[Ground], since_ns: int) -> None:
        """Look for what changed in a container that was just marked."""
        self._going.append(Search(container, list(grounds), since_ns, clock=self._clock))

    def begin_again(self, container: Marked, grounds: Sequence[Ground], since_ns: int) -> None:
        """Look for what changed while sight was lost, once the look that goes on is over."""
        before_ns, _ = self._lost.get(container.mnt_ns, (since_ns, []))
        self._lost[container.mnt_ns] = min(before_ns, since_ns), list(grounds)
        if not any(search.container is container for search in self._going):
            self._go_on(container)

    def forget(self, container: Marked) -> None:
        """Look no more: it is gone."""
        self._going = deque(search for search in self._going if search.container is not container)
        self._lost.pop(container.mnt_ns, None)
        self._after_loss.discard(container.mnt_ns)

    def step(self, emit: Emit) -> None:
        """Go through some directories of one container, and tell of what is found."""
        if not self._going:
            return
        search = self._going.popleft()
        for event in search.step(STEPS_EACH_TURN):
            emit(event)
        if search.is_over:
            self._end(search, emit)
        else:
            self._going.append(search)

    def _end(self, search: Search, emit: Emit) -> None:
        container = search.container
        if search.left_out:
            where = f"the layers of mount namespace {container.mnt_ns} were not gone through to their end"
            emit(SightLost(self._clock(), SENSE, where, standing=True))
        if container.mnt_ns in self._lost:
            self._go_on(container)
        elif container.mnt_ns in self._after_loss:
            self._after_loss.discard(container.mnt_ns)
            if container.is_watched:
                now_ns = self._clock()
                emit(FilesWatched(now_ns, container.mnt_ns, SENSOR, now_ns, container.unwatched))

    def _go_on(self, container: Marked) -> None:
        since_ns, grounds = self._lost.pop(container.mnt_ns)
        self._after_loss.add(container.mnt_ns)
        self._going.append(Search(container, grounds, since_ns, clock=self._clock))
