"""The file watch's loop: events first, then commands, then a slice of scanning; and when there is none, it waits.

The roots of containers are opened anew in each turn and closed at its end, whatever was done with them.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from outrider_sidecar.linux import inotify
from outrider_sidecar.linux.inotify import Inotify, RawEvent
from outrider_sidecar.linux.rooted import opened_root
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.files.changes import ChangeTeller
from outrider_sidecar.sensors.files.coalesce import coalesce
from outrider_sidecar.sensors.files.scan import Bounds, Scanner
from outrider_sidecar.sensors.files.tree import GuardedRoot, WatchTree
from outrider_sidecar.sight import OPEN, Gap, add_gap, end_gap
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import SightLost

SENSE: Final = "file"
SLICE_DIRECTORIES: Final = 32
"""Directories visited between two looks at the event queue: some 4 ms."""

POLL_S: Final = 0.25
GATHER_NS: Final = 2_000_000
"""In a stream of events, where one turn follows another within this, the next waits so long for more to come in.
A first event is read at once, because its file may be gone soon."""

TELL_AGAIN_NS: Final = 60_000_000_000
"""A container whose bound was reached is told of again after this, if more was left out since."""

CTIME_BEFORE_NS: Final = 250_000_000
"""A file's ctime may lie this far before its event: it is of the last timer tick, and whoever changed the file may have
spent a quota of the processor, for two periods, before the event was queued."""

MAX_ANCHORS: Final = 32
"""Processes of a container that are tried as a way to its root."""

_GONE: Final = inotify.UNMOUNT | inotify.IGNORED


class Command(NamedTuple):
    """What another thread asked for."""

    mnt_ns: int
    anchor_pid: int
    places: tuple[str, ...]
    baseline_ns: int
    remove: bool = False


class Watching:
    """One run of the file watch. `busy` while events that were read are not yet all told."""

    def __init__(
        self,
        watches: Inotify,
        tree: WatchTree,
        commands: deque[Command],
        wake: int,
        emit: Emit,
        *,
        on_unmount: Callable[[int], None],
        on_scanned: Callable[[int, int, int], None],
        pids_of: Callable[[int], Iterable[int]],
        bounds: Bounds,
        proc: Path,
        clock: Callable[[], int],
    ) -> None:
        self._watches = watches
        self._tree = tree
        self._commands = commands
        self._wake = wake
        self._emit = emit
        self._on_unmount = on_unmount
        self._on_scanned = on_scanned
        self._pids_of = pids_of
        self._proc = proc
        self._clock = clock
        self._scanner = Scanner(watches, tree, emit, bounds=bounds, clock=clock)
        self._teller = ChangeTeller(watches, tree, self._scanner, emit, clock=clock)
        self._told_until_ns = clock()
        self._rescan_ns = 0
        self._is_rescanning = False
        self.busy = False

    def pending_bytes(self) -> int:
        return self._watches.pending_bytes()

    def run(self, stop: threading.Event) -> None:
        """Turn after turn until `stop`."""
        poller = select.poll()
        poller.register(self._watches.fileno(), select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        told_ns = 0
        while not stop.is_set():
            if self._turn():
                continue
            self._tell_bounds()
            poller.poll(POLL_S * 1000)
            if time.monotonic_ns() - told_ns < GATHER_NS:
                time.sleep(GATHER_NS / 1e9)
            told_ns = time.monotonic_ns()

    def _turn(self) -> bool:
        """One turn; whether there may be more to do at once."""
        with ExitStack() as opened:
            roots: dict[int, int | None] = {}

            def root_of(root: GuardedRoot) -> int | None:
                if id(root) not in roots:
                    roots[id(root)] = opened.enter_context(self._opened(root))
                return roots[id(root)]

            had_events = self._read_events(root_of)
            self._obey(root_of)
            self._begin_rescan()
            return self._scan(root_of) or had_events

    @contextmanager
    def _opened(self, root: GuardedRoot) -> Iterator[int | None]:
        """The container's root for one turn, by its anchor or by another of its processes; None where none leads."""
        with ExitStack() as stack:
            for pid in self._anchors(root):
                try:
                    fd = stack.enter_context(opened_root(pid, root.mnt_ns, proc=self._proc))
                except ProcessGone:
                    continue
                except Unavailable as error:
                    self._unreachable(root, f"{error.reason}; {error.remedy}")
                    break
                status = os.fstat(fd)
                root.identity = root.identity or (status.st_dev, status.st_ino)
                if root.identity == (status.st_dev, status.st_ino):
                    root.anchor_pid = pid
                    yield fd
                    return
            yield None

    def _anchors(self, root: GuardedRoot) -> Iterator[int]:
        yield root.anchor_pid
        for count, pid in enumerate(self._pids_of(root.mnt_ns)):
            if count >= MAX_ANCHORS:
                return
            yield pid

    def _read_events(self, root_of: Callable[[GuardedRoot], int | None]) -> bool:
        now_ns = self._clock()
        self.busy = True
        try:
            events = self._watches.read()
            if events:
                self._teller.tell(coalesce(events), root_of)
                self._heed([event for event in events if event.mask & (_GONE | inotify.Q_OVERFLOW)])
            else:
                self._scanner.listed.clear()
            if not self._watches.pending_bytes():
                self._told_until_ns = now_ns
        finally:
            self.busy = False
        self._teller.expire_moves()
        return bool(events)

    def _heed(self, events: list[RawEvent]) -> None:
        """What the kernel says of the watches themselves."""
        restarted: dict[int, GuardedRoot] = {}
        for event in events:
            if event.mask & inotify.Q_OVERFLOW:
                self._overflowed()
            elif event.mask & inotify.UNMOUNT:
                restarted |= {id(node.root): node.root for node in self._tree.at(event.wd)}
            else:
                for node in self._tree.at(event.wd):
                    self._take_away(self._tree.drop(node))
        for root in restarted.values():
            self._drop(root)
            self._on_unmount(root.mnt_ns)

    def _overflowed(self) -> None:
        since_ns = self._told_until_ns - CTIME_BEFORE_NS
        reason = "the inotify queue overflowed; raise fs.inotify.max_queued_events"
        self._emit(SightLost(self._clock(), SENSE, reason, None, since_ns))
        self._rescan_ns = min(self._rescan_ns or since_ns, since_ns)
        for root in self._tree.roots.values():
            root.gaps = add_gap(root.gaps, Gap(since_ns, OPEN))
            self._scanner.doubt(root, since_ns)

    def _begin_rescan(self) -> None:
        if self._scanner.waiting:
            return
        if self._rescan_ns:
            for root in self._tree.roots.values():
                self._scanner.look_again(root, self._rescan_ns, for_new=True)
            self._rescan_ns, self._is_rescanning = 0, True
        elif self._is_rescanning:
            now_ns = self._clock()
            for root in self._tree.roots.values():
                root.gaps = end_gap(root.gaps, now_ns)
            self._is_rescanning = False

    def _obey(self, root_of: Callable[[GuardedRoot], int | None]) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            pass  # nobody called since the last turn
        while self._commands:
            command = self._commands[0]
            if command.remove:
                if root := self._tree.roots.get(command.mnt_ns):
                    self._drop(root)
            else:
                self._add(command, root_of)
            self._commands.popleft()

    def _add(self, command: Command, root_of: Callable[[GuardedRoot], int | None]) -> None:
        root = self._tree.roots.get(command.mnt_ns)
        if root is not None and not root.reachable:
            self._drop(root)
            root = None
        if root is None:
            root = GuardedRoot(command.mnt_ns, command.anchor_pid, command.baseline_ns)
            self._tree.roots[command.mnt_ns] = root
        elif command.baseline_ns and (not root.baseline_ns or command.baseline_ns < root.baseline_ns):
            root.baseline_ns = command.baseline_ns
            self._scanner.begin_anew(root)
            self._scanner.look_again(root, command.baseline_ns, for_new=False)
        root.anchor_pid = command.anchor_pid
        root_fd = root_of(root)
        if root_fd is None:
            self._no_way(root)
        else:
            self._scanner.add_places(root, root_fd, command.places)

    def _scan(self, root_of: Callable[[GuardedRoot], int | None]) -> bool:
        root = self._scanner.next_root()
        if root is None:
            return False
        root_fd = root_of(root)
        if root_fd is None:
            self._no_way(root)
            self._scanner.forget(root)
        else:
            self._scanner.visit_some(root, root_fd, SLICE_DIRECTORIES)
        return True

    def _no_way(self, root: GuardedRoot) -> None:
        if any(True for _ in self._pids_of(root.mnt_ns)):
            self._unreachable(root, "no living process leads to its root")
        root.reachable = False  # and where no process is left, there is nothing to be blind to

    def _unreachable(self, root: GuardedRoot, why: str) -> None:
        if root.reachable:
            root.reachable = False
            reason = f"the files of mount namespace {root.mnt_ns} cannot be watched: {why}"
            self._emit(SightLost(self._clock(), SENSE, reason))

    def _drop(self, root: GuardedRoot) -> None:
        self._scanner.forget(root)
        self._take_away(self._tree.drop_root(root))

    def _take_away(self, watches: list[int]) -> None:
        for wd in watches:
            self._watches.remove(wd)

    def _tell_bounds(self) -> None:
        """Say when a container's first scan is over, and how many directories are not watched: then, each minute."""
        now_ns = self._clock()
        for root in self._tree.roots.values():
            if root.directories and not root.to_scan and not root.scan_told:
                root.scan_told = True
                self._on_scanned(root.mnt_ns, root.directories, root.unwatched)
            more = root.unwatched - root.unwatched_told
            if more <= 0 or root.to_scan or (root.told_ns and now_ns - root.told_ns < TELL_AGAIN_NS):
                continue
            root.unwatched_told, root.told_ns = root.unwatched, now_ns
            where = f"{more} directories of mount namespace {root.mnt_ns}, and what lies below them"
            reason = f"{where}, are not watched: {root.unwatched_why}"
            self._emit(SightLost(now_ns, SENSE, reason, more, standing=True))
