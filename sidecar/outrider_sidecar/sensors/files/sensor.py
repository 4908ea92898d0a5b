"""The file sensor as the engine sees it: what to watch, what is watched, and whether all has been told.

inotify tells no pid, so `actor` is None and `attribution` unknown; the engine may infer one. The instance is
opened in the constructor, before anything else in the task could use up the user's instances; where that fails
the loss is told, and opening is tried again.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from outrider_sidecar.linux import inotify
from outrider_sidecar.linux.inotify import Inotify
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.sensors import Capability, Emit
from outrider_sidecar.sensors.files.scan import Bounds
from outrider_sidecar.sensors.files.tree import WatchTree
from outrider_sidecar.sensors.files.watching import SENSE, Command, Watching
from outrider_sidecar.sight import ALWAYS, Gap, Sight, add_gap
from outrider_wire.errors import Unavailable
from outrider_wire.events import Event, SightLost

RETRY_S: Final = 5.0
"""How often an instance that could not be opened is tried again."""


def probe_inotify() -> Capability:
    """Whether this process can watch files: an instance is opened, a watch set on its own root, and closed."""
    try:
        watches = Inotify()
    except Unavailable as error:
        return Capability(SENSE, "inotify", False, error.reason, error.remedy)
    try:
        watches.add(b"/", inotify.CREATE | inotify.ONLYDIR)
    except OSError as error:
        return Capability(SENSE, "inotify", False, str(error), "raise fs.inotify.max_user_watches")
    finally:
        watches.close()
    return Capability(SENSE, "inotify", True, "an instance and a watch were made")


class FileSensor:
    """Watches the files of guarded containers. `run` has a thread of its own; all else is for any thread.

    `on_unmount(mnt_ns)` is called, in the sensor's thread, when a container's file system went away (it
    restarted): its watches are gone, and it is to be added anew. `pids_of(mnt_ns)` tells living processes of a
    container, also in the sensor's thread, for when the anchor ended. `on_scanned(mnt_ns, directories, unwatched)`
    is called there once for each container, when its first scan is over.
    """

    name = "inotify"

    def __init__(
        self,
        *,
        on_unmount: Callable[[int], None] = lambda _: None,
        pids_of: Callable[[int], Iterable[int]] = lambda _: (),
        on_scanned: Callable[[int, int, int], None] = lambda _mnt_ns, _directories, _unwatched: None,
        bounds: Bounds = Bounds(),  # noqa: B008 - a constant
        proc: Path = PROC,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._on_unmount = on_unmount
        self._pids_of = pids_of
        self._on_scanned = on_scanned
        self._bounds = bounds
        self._proc = proc
        self._clock = clock
        self._commands: deque[Command] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._tree = WatchTree()
        self._watching: Watching | None = None
        self._watches: Inotify | None = None
        self._lost: tuple[Gap, ...] = ()
        self.unavailable: Unavailable | None = None
        self._open()

    def _open(self) -> None:
        try:
            self._watches = Inotify()
            self.unavailable = None
        except Unavailable as error:
            self.unavailable = error

    def add_root(
        self, mnt_ns: int, anchor_pid: int, extra_places: tuple[str, ...] = (), *, baseline_ns: int = 0
    ) -> None:
        """Watch a container, or, for one that is watched, give it another anchor and more places.

        `anchor_pid` is any living process in that mount namespace. `baseline_ns` is what drift is judged from:
        what changed since then and before the watch is told of as `found`. Without it nothing is, and there is no
        `sight`.
        """
        self._command(Command(mnt_ns, anchor_pid, extra_places, baseline_ns))

    def remove_root(self, mnt_ns: int) -> None:
        """Stop watching a container."""
        self._command(Command(mnt_ns, 0, (), 0, remove=True))

    def _command(self, command: Command) -> None:
        self._commands.append(command)
        self.wake()

    def sight(self, mnt_ns: int, directory: str) -> Sight | None:
        """When the changes in a directory were seen; None where that cannot be said."""
        sight = self._tree.sight(mnt_ns, directory.encode("utf-8", "surrogateescape"))
        return Sight(sight.since_ns, (*sight.gaps, *self._lost)) if sight is not None and self._lost else sight

    def learn(self, event: Event) -> None:
        """What is lost between here and the engine was told of here; the rest is nobody's business."""
        if isinstance(event, SightLost) and event.sense == "engine" and not event.standing:
            self._lost = add_gap(self._lost, Gap(event.since_ns or ALWAYS, event.at_ns))

    def caught_up(self) -> bool:
        """Everything that happened before this call in a watched directory has been handed to `emit`.

        The order of the two questions matters: what is no longer queued was read while `busy`.
        """
        watching = self._watching
        return watching is not None and watching.pending_bytes() == 0 and not watching.busy

    def settled(self) -> bool:
        """No command and no directory waits: every place of every container is watched."""
        return not self._commands and not any(root.to_scan for root in list(self._tree.roots.values()))

    def important_done(self) -> bool:
        """The own level of every place of every container so far is watched; also true where none can be."""
        if self.unavailable is not None:
            return True
        return not self._commands and not any(root.important_to_scan for root in list(self._tree.roots.values()))

    @property
    def left(self) -> int:
        """How many directories wait to be watched, as far as they are known."""
        return sum(root.to_scan for root in list(self._tree.roots.values()))

    @property
    def directories(self) -> int:
        """How many directories are watched now."""
        return self._tree.directories

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Block until `stop`; every watch is gone then."""
        began_ns = self._clock()
        if self._watches is None and self.unavailable:
            reason = f"{self.unavailable.reason}; {self.unavailable.remedy}"
            emit(SightLost(began_ns, SENSE, reason, None, began_ns))
        while self._watches is None and not stop.wait(RETRY_S):
            self._open()
        if self._watches is None:
            return
        self._watching = Watching(
            self._watches,
            self._tree,
            self._commands,
            self._wake,
            emit,
            on_unmount=self._on_unmount,
            on_scanned=self._on_scanned,
            pids_of=self._pids_of,
            bounds=self._bounds,
            proc=self._proc,
            clock=self._clock,
        )
        try:
            self._watching.run(stop)
        finally:
            self._watching = None
            self._watches.close()
            self._watches = None

    def wake(self) -> None:
        """Make `run` look at `stop` at once."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Give back what the constructor took; after `run` ended, or where it never began."""
        if self._watches is not None:
            self._watches.close()
            self._watches = None
        os.close(self._wake)
