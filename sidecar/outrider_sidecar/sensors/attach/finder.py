"""Finding processes that were not forked under us: by the pid watermark each tick, by a walk of /proc each sweep.

proc_loadavg(5) ends in the newest pid of the reader's namespace. What is newer than at the last tick and not
traced came from outside (ECS Exec, a later container), from a released subtree, or hid with CLONE_UNTRACED. The
kernel attaches the children of a tracee before they are visible, so TracerPid 0 is never a first stop that is
still on its way.

A newly made pid may not be visible yet: it is looked at once more at the next tick. A wrap of the pid counter,
and more new pids than a tick can look at, are left to a sweep that begins at once. A sweep goes a few processes
a tick, so that no program waits for it.
"""

import os
from collections.abc import Iterator
from typing import Final

from outrider_sidecar.linux.procfs import list_pids, list_threads, read_stat
from outrider_sidecar.sensors.attach.options import TracerOptions
from outrider_sidecar.sensors.attach.release import MAX_ANCESTORS, ReleaseList
from outrider_sidecar.sensors.attach.seize import Standing, read_standing, seize_process, seize_thread
from outrider_sidecar.sensors.attach.table import Table, Tracee
from outrider_sidecar.sensors.attach.tell import Teller
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import ProcessId, Seen

MAX_LOOKS: Final = 64
"""Most strangers looked at in one tick."""
YOUNG_TICKS: Final = 50
"""Ticks at which a newly followed process is looked at again: a second. Then each sweep."""
MAX_YOUNG: Final = 256
MAX_UNSEIZED: Final = 16_384
MAX_OFF_KNOWN: Final = 1024


class Finder:
    """Finds strangers, seizes those in scope, and follows by polling those that cannot be seized."""

    def __init__(self, options: TracerOptions, table: Table, teller: Teller, releases: ReleaseList) -> None:
        self._options = options
        self._proc = options.proc
        self._table = table
        self._teller = teller
        self._releases = releases
        self._own_pid = os.getpid()
        self._loadavg = os.open(f"{options.proc}/loadavg", os.O_RDONLY | os.O_CLOEXEC)
        self._newest = self._read_newest()
        self._newest_text = b" %d\n" % self._newest
        self._unseen: list[int] = []
        self._undecided: set[int] = set()
        """Processes of containers that may be left untraced: looked at each tick until that is known."""
        self._refused: dict[int, Seen] = {}
        """Processes that were refused once, and how they were met: tried again at the next tick before it is told."""
        self._off: dict[int, bool] = {0: False}
        self._polled: dict[int, Tracee] = {}
        self._young: dict[int, int] = {}
        """Followed processes that were found lately, and at how many more ticks they are looked at: most exec soon."""
        self._outsiders: set[int] = set()
        """Processes found not to be covered since the last sweep, where their children are not covered either."""
        self.overrun = False

    def sees_nothing_new(self) -> bool:
        """Whether no pid was made since the last look, and none waits to be looked at again: one system call."""
        if self._unseen or self._undecided or self._young or self._refused:
            return False
        return os.pread(self._loadavg, 128, 0).endswith(self._newest_text)

    def look_for_new(self) -> None:
        """Look at the pids made since the last call. Sets `overrun` where only a sweep can tell."""
        newest, before = self._read_newest(), self._newest
        again, self._unseen = self._unseen, []
        self._try_refused()
        self._newest = newest
        self._newest_text = b" %d\n" % newest
        if newest < before or newest - before > MAX_LOOKS * 64:
            self.overrun = True
            return
        strangers = [pid for pid in range(before + 1, newest + 1) if not self._table.knows(pid)]
        if len(strangers) > MAX_LOOKS:
            self.overrun = True
        for pid in strangers[:MAX_LOOKS]:
            if not self.look_at(pid, "found"):
                self._unseen.append(pid)
        undecided, self._undecided = self._undecided, set()
        for pid in (*again, *undecided):
            self.look_at(pid, "found")
        self._check_young()

    def _check_young(self) -> None:
        """Tell of what newly followed processes run by now: a debugger's child was found before its exec."""
        for pid, ticks in list(self._young.items()):
            if pid in self._polled and ticks:
                self._young[pid] = ticks - 1
                self._check_polled(pid)
            else:
                del self._young[pid]

    def _try_refused(self) -> None:
        """Look again at those that were refused; who is refused twice is followed, and that is told."""
        for pid, seen in list(self._refused.items()):
            if self._table.knows(pid) or not self.look_at(pid, seen):
                self._refused.pop(pid, None)
        self._refused.clear()

    def walk(self, seen: Seen) -> Iterator[None]:
        """Look at every process there is, one a step; then forget those that are gone."""
        self._outsiders.clear()
        for pid in list_pids(proc=self._proc):
            tracee = self._table.by_tid.get(pid)
            if tracee is not None:
                self._check_hold(tracee)
            elif pid in self._polled:
                self._check_polled(pid)
            elif not self._table.knows(pid):
                self.look_at(pid, seen)
            yield
        held = self._table.processes()
        self._forget_gone(held, set(list_pids(proc=self._proc)))

    def tell_again(self) -> Iterator[None]:
        """Tell of every process as found, one a step: the engine has started anew and knows none."""
        for tracee in [*self._table.processes(), *self._polled.values()]:
            held = self._table.by_tid.get(tracee.pid) or self._polled.get(tracee.pid)
            if tracee.announced and held is tracee:
                self._teller.found(tracee, parent=tracee.parent_process, seen="found")
            yield

    def look_at(self, pid: int, seen: Seen) -> bool:
        """Consider one process or thread that is not known; False where there is (not yet, or no longer) none."""
        try:
            standing = read_standing(pid, proc=self._proc)
            if standing.tgid != pid:
                self._look_at_thread(pid, standing)
            elif standing.tracer != self._own_pid and (standing.state not in "ZX" or standing.threads > 1):
                self._look_at_process(pid, standing, seen)
        except ProcessGone:
            return False
        return True

    def is_off(self, mnt_ns: int, pid: int) -> bool:
        """Whether the container of this mount namespace is left alone; asked once for each."""
        known = self._off.get(mnt_ns)
        if known is None:
            if len(self._off) > MAX_OFF_KNOWN:
                self._off = {0: False}
            if not self._options.scope.covers(pid, mnt_ns, lambda _root: True):
                known = True
            else:
                known = self._options.tracing_off(mnt_ns, self._cgroup(pid))
            if known is None:
                self._undecided.add(pid)
                return True
            self._off[mnt_ns] = known
        return known

    def holder_of_parent(self, pid: int) -> Tracee | None:
        """The tracee that is the parent of a process, if it is one."""
        found = self._identify(pid)
        return self._table.by_tid.get(found[1]) if found else None

    @property
    def polled_count(self) -> int:
        return len(self._polled)

    def _look_at_process(self, pid: int, standing: Standing, seen: Seen) -> None:
        if standing.ppid in self._outsiders and not self._options.scope.covers(pid, 0, lambda _root: False):
            self._outsiders.add(pid)
            return
        try:
            mnt_ns = os.stat(f"{self._proc}/{pid}/ns/mnt").st_ino
        except OSError:
            mnt_ns = 0  # going, or forbidden: seizing will tell
        if not self._options.scope.covers(pid, mnt_ns, lambda root: self._descends(pid, root)):
            if self._options.scope.by_descent:
                self._outsiders.add(pid)
            return
        if mnt_ns and self.is_off(mnt_ns, pid):
            return
        if not os.path.lexists(f"{self._proc}/{pid}/exe"):
            raise ProcessGone(f"process {pid} is ending")
        if self._releases.covers(pid, self._identify):
            self._follow(pid, standing, seen, "")
        elif standing.tracer:
            self._follow(pid, standing, seen, f"process {pid} is traced by process {standing.tracer} already")
        else:
            self._seize(pid, standing, seen)

    def _seize(self, pid: int, standing: Standing, seen: Seen) -> None:
        parent = self._table.by_tid.get(standing.ppid)
        try:
            tids = seize_process(pid, proc=self._proc)
        except Unavailable as error:
            if self._refused.pop(pid, None) is None and len(self._refused) < MAX_LOOKS:
                self._refused[pid] = seen
            else:
                self._follow(pid, standing, seen, error.reason)
            return
        tracee = Tracee(pid)
        tracee.newest_when_seized = self._read_newest()
        tracee.announced = True
        self._table.add_process(tracee)
        for tid in tids:
            self._table.add_thread(tid, tracee)
        tracee.parent_process = self._parent_process(standing.ppid)
        untraced = (
            seen == "found"
            and parent is not None
            and standing.ppid != 1  # orphans of anybody end there
            and pid > parent.newest_when_seized  # made after we held its parent
        )
        event = self._teller.found(tracee, parent=tracee.parent_process, seen=seen, untraced=untraced)
        self._teller.flush()
        if reason := self._releases.reason(event.exe.path):
            self._teller.lost_sight(f"process {pid}: {reason}, but it runs already and is traced")

    def _follow(self, pid: int, standing: Standing, seen: Seen, reason: str) -> None:
        """Follow a process by polling. A reason is told; none means that it is released, which was told."""
        if len(self._polled) >= MAX_UNSEIZED:
            return
        tracee = Tracee(pid)
        tracee.parent_process = self._parent_process(standing.ppid)
        self._polled[pid] = tracee
        if len(self._young) < MAX_YOUNG:
            self._young[pid] = YOUNG_TICKS
        event = self._teller.found(tracee, parent=tracee.parent_process, seen=seen)
        tracee.exe_inode = event.exe.ino
        if reason:
            self._teller.lost_sight(reason)
        else:
            self._releases.add(pid, event.process.start_ticks)

    def _look_at_thread(self, tid: int, standing: Standing) -> None:
        owner = self._table.by_tid.get(standing.tgid)
        if owner is not None and not standing.tracer and seize_thread(tid):
            self._table.add_thread(tid, owner)
            self._teller.lost_sight(f"a thread of process {owner.pid} was made with CLONE_UNTRACED")

    def _check_hold(self, tracee: Tracee) -> None:
        """See that a process we think we hold is held, with all of its threads."""
        try:
            standing = read_standing(tracee.pid, proc=self._proc)
            if not standing.tracer and standing.state not in "ZX":
                self._table.drop_process(tracee)
                self._teller.lost_sight(f"process {tracee.pid} slipped from the tracer by an untraced thread's exec")
                self._look_at_process(tracee.pid, standing, "found")
            elif standing.threads > 1 + len(tracee.tids or ()):
                for tid in list_threads(tracee.pid, proc=self._proc):
                    if not self._table.knows(tid):
                        self._look_at_thread(tid, read_standing(tid, proc=self._proc))
        except (ProcessGone, Unavailable):
            return  # its end is on the way

    def _check_polled(self, pid: int) -> None:
        """Tell of a followed process that runs something else by now."""
        tracee = self._polled[pid]
        try:
            stat = read_stat(pid, proc=self._proc)
            inode = os.stat(f"{self._proc}/{pid}/exe").st_ino
        except (ProcessGone, Unavailable, OSError, ValueError):
            return
        if tracee.process is not None and stat.start_ticks != tracee.process.start_ticks:
            self._end_polled(pid)
            self.look_at(pid, "found")
        elif inode != tracee.exe_inode:
            tracee.exe_inode = inode
            self._teller.found(tracee, parent=tracee.parent_process, seen="found")

    def _forget_gone(self, held: list[Tracee], alive: set[int]) -> None:
        """Drop who is not in `alive`, a listing made after `held`; who came in between is in neither."""
        for pid in [pid for pid in self._polled if pid not in alive]:
            self._end_polled(pid)
        self._releases.forget([pid for pid in self._releases.free if pid not in alive])
        for tracee in held:
            if tracee.pid not in alive:
                self._teller.exited(tracee, None)
                self._table.drop_process(tracee)

    def _end_polled(self, pid: int) -> None:
        self._teller.exited(self._polled.pop(pid), None)

    def _descends(self, pid: int, root: int) -> bool:
        for _ in range(MAX_ANCESTORS):
            found = self._identify(pid)
            if found is None:
                return False
            pid = found[1]
            if pid == root or pid in self._table.by_tid:
                return True
        return False

    def _identify(self, pid: int) -> tuple[int, int] | None:
        try:
            stat = read_stat(pid, proc=self._proc)
        except (ProcessGone, Unavailable, ValueError):
            return None
        return stat.start_ticks, stat.ppid

    def _parent_process(self, ppid: int) -> ProcessId | None:
        found = self._identify(ppid) if ppid else None
        return ProcessId(ppid, found[0]) if found else None

    def _cgroup(self, pid: int) -> str:
        try:
            with open(f"{self._proc}/{pid}/cgroup", encoding="utf-8", errors="backslashreplace") as file:
                return file.read(4096).strip()
        except OSError:
            return ""

    def _read_newest(self) -> int:
        return int(os.pread(self._loadavg, 128, 0).rsplit(None, 1)[1])
