"""The file watch of a host: fanotify, with the process that did it, for every container that can be marked.

Two groups (see linux/fanotify.py). In each turn the opens group is read first and the names group after it: so of every
file that was closed after writing the creation is known, and both are told of as one.

A loss is told with its number (see queues.py), and what changed meanwhile is looked for in the containers' layers.
"""

import errno
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.fanotify import RawEvent
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.linux.rooted import look
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.host.changes import ChangeTeller, Identify
from outrider_sidecar.sensors.host.containers import Marked
from outrider_sidecar.sensors.host.filesystems import mount_of
from outrider_sidecar.sensors.host.found import Ground
from outrider_sidecar.sensors.host.listed import ListedFiles
from outrider_sidecar.sensors.host.marking import Marker
from outrider_sidecar.sensors.host.names import Named
from outrider_sidecar.sensors.host.opens import DELETED
from outrider_sidecar.sensors.host.pace import Pace
from outrider_sidecar.sensors.host.partial import say_unwatched
from outrider_sidecar.sensors.host.queues import Batch, Bounds, Queues
from outrider_sidecar.sensors.host.runs import GONE, Run, Write, put_together
from outrider_sidecar.sensors.host.searches import SENSE, SENSOR, Searches
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import Event, FileFacts, FilesWatched, SightLost

TURN_S: Final = 0.03
"""After this a turn takes no further batch."""
TAKE_EVERY: Final = 128
"""Changes told of between two looks at the queues, some 3 ms."""
MOST_LEADERS: Final = 4
"""How often it is tried to mark a container while processes that lead there, or to its layers, end."""
CTIME_BEFORE_NS: Final = 250_000_000
"""A file's ctime may lie this far before its event: it is of the last timer tick, and whoever changed the file may have
spent a quota of the processor, for two periods, before the event was queued."""


class FileMarks:
    """The file watch as the lookout uses it: in one thread, in the process that is to hold the marks."""

    def __init__(
        self,
        *,
        bounds: Bounds = Bounds(),  # noqa: B008 - a constant
        proc: Path = PROC,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._bounds = bounds
        self._proc = proc
        self._clock = clock
        self._unavailable: Unavailable | None = None
        self._queues: Queues | None = None
        self._containers: dict[int, Marked] = {}
        self._by_mount: dict[int, Marked] = {}
        self._grounds: dict[int, list[Ground]] = {}
        self._places: dict[int, tuple[int, bytes]] = {}
        self._to_tell: list[Event] = []
        self._searches = Searches(clock=clock)
        self._pace = Pace()
        self._told_until_ns = 0
        self._checked_ns = 0
        self._unplaced = 0
        self._meanwhile: Callable[[], None] = lambda: None

    def open(self, identify: Identify) -> None:
        """Open the groups, in this process. Raises Unavailable; containers are then told of as not watched."""
        try:
            queues = Queues(self._place_of, self._bounds, is_ours=self._is_ours, clock=self._clock)
        except Unavailable as error:
            self._unavailable = error
            raise
        self._queues = queues
        self._pace.follow(queues.opens.fileno(), queues.names.fileno())
        self._identify = identify
        self._listed = ListedFiles(queues.opens)
        self._marker = Marker(queues.opens, queues.names, proc=self._proc)
        self._teller = ChangeTeller(identify, clock=self._clock)
        self._told_until_ns = self._clock()

    def filenos(self) -> Sequence[int]:
        """The descriptors that become readable when there is something to drain."""
        return [self._pace.fileno()]

    def add_container(self, mnt_ns: int, pid: int, baseline_ns: int) -> None:
        """Watch the files of a container, of which `pid` is a process and which began at `baseline_ns`."""
        known = self._containers.get(mnt_ns)
        if known is not None:
            known.pid = pid
            return
        container = self._containers[mnt_ns] = Marked(mnt_ns, pid, baseline_ns, proc=self._proc)
        self._mark(container, baseline_ns)
        self._pace.ring()

    def remove_container(self, mnt_ns: int) -> None:
        """The last process of that container ended."""
        container = self._containers.pop(mnt_ns, None)
        if container is None or self._queues is None:
            return
        self._grounds.pop(mnt_ns, None)
        self._by_mount = {number: other for number, other in self._by_mount.items() if other is not container}
        self._searches.forget(container)
        self._listed.forget(mnt_ns)
        self._marker.unmark(container)
        container.end_turn()

    def opened_by(self, pid: int) -> Sequence[FileFacts]:
        """What a process opened for exec since `forget` was called for it, in its order."""
        return self._queues.reader.opened_by(pid) if self._queues is not None else ()

    def opened_in(self, pid: int) -> int:
        """The container (mount namespace, 0 for none) in which it opened that."""
        return self._queues.reader.opened_in(pid) if self._queues is not None else 0

    def forget(self, pid: int) -> None:
        """Its exec was told of, or it ended."""
        if self._queues is not None:
            self._queues.reader.forget(pid)

    def drain(self, emit: Emit, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Tell of all that happened so far; in a storm of as much as TURN_S allows, and another turn is asked for.

        `meanwhile` is called before every TAKE_EVERY changes; it may add and remove containers.
        """
        self._meanwhile = meanwhile
        self._pace.begin_turn()
        for event in self._take_told():
            emit(event)
        queues = self._queues
        if queues is None:
            return
        self._places.clear()
        had_events = self._tell_waiting(queues, emit)
        if queues.is_waiting and queues.is_past_bounds():
            self._shed(queues, emit)
        self._searches.step(emit)
        if self._searches:
            self._pace.ring()
        self._end_turn()
        self._pace.end_turn(had_events=had_events)
        if queues.is_waiting:
            self._pace.ring()

    @property
    def is_behind(self) -> bool:
        """Whether the last turn left something to be told of."""
        return self._queues is not None and self._queues.is_waiting

    def _tell_waiting(self, queues: Queues, emit: Emit) -> bool:
        until_s = time.monotonic() + TURN_S
        queues.take_in()
        had_events = False
        while (batch := queues.next()) is not None:
            had_events = True
            self._tell_batch(batch, queues, emit)
            self._note_told(queues, batch.all_before_ns)
            if time.monotonic() >= until_s:
                break
        self._note_told(queues, 0)
        return had_events

    def _note_told(self, queues: Queues, all_before_ns: int) -> None:
        """All that happened before that has been told of; where nothing waits, all that was taken."""
        if any(file_system.reader.is_waiting for file_system in self._marker.file_systems.values()):
            return  # for its other half
        self._told_until_ns = (all_before_ns if queues.is_waiting else queues.all_before_ns) or self._told_until_ns

    def close(self) -> None:
        """Give everything back."""
        if self._queues is not None:
            self._queues.close()
        self._queues = None
        self._pace.close()

    def _take_told(self) -> list[Event]:
        told, self._to_tell = self._to_tell, []
        return told

    def _mark(self, container: Marked, since_ns: int) -> None:
        """Mark a container, and begin to look for what changed in it since then."""
        if self._queues is None:
            error = self._unavailable or Unavailable("the file watch is not open", "")
            self._say_unwatched(container, error)
            return
        marked_ns = self._clock()
        try:
            grounds, unwatched = self._mark_by_who_lives(container)
        except Unavailable as error:
            self._marker.unmark(container)
            self._say_unwatched(container, error)
        except (ProcessGone, OSError):
            del self._containers[container.mnt_ns]
            return  # whoever enters it next leads there
        else:
            self._grounds[container.mnt_ns] = grounds
            container.is_watched, container.unwatched = True, say_unwatched(unwatched)
            reason = container.unwatched
            self._to_tell.append(FilesWatched(marked_ns, container.mnt_ns, SENSOR, marked_ns, reason))
            if reason:
                told = f"the files of mount namespace {container.mnt_ns} are watched but in part: {reason}"
                self._to_tell.append(SightLost(marked_ns, SENSE, told, standing=True))
            self._searches.begin(container, grounds, since_ns)
        self._by_mount |= dict.fromkeys(container.mount_ids, container)
        root_fd = container.root(marked_ns)
        if root_fd is not None:
            self._listed.mark(root_fd)
            self._mark_environments(container)

    def _mark_by_who_lives(self, container: Marked) -> tuple[list[Ground], dict[bytes, str]]:
        """Set the marks; where a process that leads there ends meanwhile, by another. Raises as `Marker.mark`."""
        for _ in range(MOST_LEADERS - 1):
            try:
                grounds, unwatched = self._marker.mark(container)
                if not unwatched or not container.follow_another():
                    return grounds, unwatched
            except (Unavailable, ProcessGone, OSError) as error:
                if not container.follow_another() and not _is_for_an_end(error):
                    raise
            self._marker.unmark(container)
        return self._marker.mark(container)

    def _say_unwatched(self, container: Marked, error: Unavailable) -> None:
        reason = f"{error.reason}; {error.remedy}"
        self._to_tell.append(FilesWatched(self._clock(), container.mnt_ns, "", 0, reason))

    def _tell_batch(self, batch: Batch, queues: Queues, emit: Emit) -> None:
        named = [one for one in self._read_names(batch) if self._is_watched(one.mnt_ns)]
        writes = [write for write in batch.writes if self._is_watched(write.mnt_ns) and self._has_its_name(write)]
        for number, run in enumerate(put_together(named, writes)):
            if number % TAKE_EVERY == 0:
                self._meanwhile()
                queues.take_in()
            if self._is_watched(run.mnt_ns):
                self._tell(run, emit)
        for read in self._listed.choose(batch.reads, self._clock()):
            self._teller.tell_read(read, emit)
        self._tell_counts(emit)
        if batch.overflowed:
            self._lose(None, "the kernel had no memory for events of files", emit)

    def _read_names(self, batch: Batch) -> list[Named]:
        names, told = batch.names(), list[Named]()
        for fsid, file_system in self._marker.file_systems.items():
            told += file_system.reader.read(names.get(fsid, ()))
            self._unplaced += sum(self._identify(pid) is not None for pid in file_system.reader.take_unplaced())
            if file_system.reader.is_waiting:
                self._pace.ring()
        return told

    def _is_ours(self, event: RawEvent) -> bool:
        """Whether an event is not known to be of the machine's own directories."""
        fid = event.fids[0] if event.fids else None
        file_system = self._marker.file_systems.get(fid.fsid) if fid else None
        return fid is not None and file_system is not None and not file_system.table.is_elsewhere(fid.handle)

    def _is_watched(self, mnt_ns: int) -> bool:
        container = self._containers.get(mnt_ns)
        return container is not None and container.is_watched

    def _has_its_name(self, write: Write) -> bool:
        """Whether a file was closed under a name of its own: one opened without a name keeps none by being linked."""
        if not write.path.endswith(DELETED) or not write.status.st_nlink:
            return True
        root_fd = self._containers[write.mnt_ns].root(self._clock())
        try:
            return root_fd is not None and look(root_fd, write.path)[0].st_ino == write.status.st_ino
        except OSError:
            return False

    def _tell(self, run: Run, emit: Emit) -> None:
        container = self._containers[run.mnt_ns]
        self._teller.tell(run, container, emit)
        if run.change not in GONE and self._listed.is_listed(run.path):
            root_fd = container.root(self._clock())
            if root_fd is not None:
                self._listed.mark_path(root_fd, run.path)

    def _tell_counts(self, emit: Emit) -> None:
        if self._listed.lost:
            emit(SightLost(self._clock(), "reads", "files were read faster than is told of", self._listed.lost))
            self._listed.lost = 0
        if self._unplaced:
            reason = "files changed in directories that were gone before it was known where they were"
            since_ns = self._told_until_ns - CTIME_BEFORE_NS
            emit(SightLost(self._clock(), SENSE, reason, self._unplaced, since_ns))
            self._look_through(since_ns)
            self._unplaced = 0

    def _place_of(self, pid: int, fd: int) -> tuple[int, bytes]:
        """The container that a process did something in: its own, or where it is gone or outside, the mount's."""
        place = self._places.get(pid)
        if place is not None:
            return place
        container = self._containers.get(self._namespace(pid)) or self._by_mount.get(mount_of(fd))
        if container is None:
            return 0, b""
        place = self._places[pid] = (container.mnt_ns, container.prefix)
        self._mark_environments(container)
        return place

    def _mark_environments(self, container: Marked) -> None:
        now_ns = self._clock()
        root_fd = container.root(now_ns) if self._listed.is_due(container, now_ns) else None
        if root_fd is not None:
            self._listed.mark_environments(container, root_fd, now_ns)

    def _namespace(self, pid: int) -> int:
        try:
            return os.stat(f"{self._proc}/{pid}/ns/mnt").st_ino
        except OSError:
            return 0

    def _shed(self, queues: Queues, emit: Emit) -> None:
        """Let go what is queued, and say how much that was."""
        reason = "files changed faster than is told of"
        lost, is_empty = queues.shed()
        if is_empty:
            self._lose(lost, reason, emit)
            return
        lost += queues.unmark_all()
        for container in self._containers.values():
            self._mark_anew(container)
        self._lose(None, f"{reason}; {lost} events were let go, and others while all marks were off", emit)

    def _mark_anew(self, container: Marked) -> None:
        try:
            self._mark_by_who_lives(container)
            root_fd = container.root(self._clock())
            if root_fd is not None:
                self._listed.mark(root_fd)
        except (Unavailable, ProcessGone, OSError):
            if container.is_watched:
                container.is_watched = False
                self._say_unwatched(container, Unavailable("it could not be marked anew", "make room for its files"))

    def _lose(self, lost: int | None, reason: str, emit: Emit) -> None:
        """Tell of a loss, and look for what changed in the time of which not all was told."""
        now_ns, since_ns = self._clock(), self._told_until_ns - CTIME_BEFORE_NS
        emit(SightLost(now_ns, SENSE, reason, lost, since_ns))
        for file_system in self._marker.file_systems.values():
            file_system.reader.forget()
        for event in self._take_told():
            emit(event)
        self._look_through(since_ns)

    def _look_through(self, since_ns: int) -> None:
        for mnt_ns, container in self._containers.items():
            if container.is_watched:
                self._searches.begin_again(container, self._grounds[mnt_ns], since_ns)

    def _end_turn(self) -> None:
        for container in self._containers.values():
            container.end_turn()
        for file_system in self._marker.file_systems.values():
            file_system.end_turn()


def _is_for_an_end(error: Exception) -> bool:
    """Whether something failed because a process through which it was done has ended."""
    cause = error.__cause__ or error
    return isinstance(cause, OSError) and cause.errno in (errno.ENOENT, errno.ESRCH)
