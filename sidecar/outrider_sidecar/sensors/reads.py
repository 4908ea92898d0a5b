"""Reading of files that hold secrets or decide what a shell does: a short list, watched one by one.

inotify tells of every opening, so a whole tree cannot be watched for it: /etc alone is read thousands of times a
minute. A short list can: passwords, PAM, sudo, ssh, and the start-up files of shells, in every guarded container.

- IN_OPEN comes at once and does not say how the file was opened; IN_CLOSE_NOWRITE does, when it is over. So a file
  that is closed again is told of at its closing, and one that stays open is told of where a process is found that
  has it open for reading.
- There is no pid. Whoever has the file open when we look is named, as inferred; most readers are done by then, and
  the world infers one by its command line, or nobody.
- Our own file watch reads the first bytes of what changed. So what changed a moment ago is told of only where
  somebody else is found to have it open; the same for the opening of a directory, which our own scan does too.
- A file replaced by renaming is another inode, and homes and containers come and go: the list is gone through again
  at once where a listed name or a directory appears in one of the few directories above, and when the engine meets a
  container (`look_again`); besides, each RESCAN_S.
- The environments of the oldest processes are watched too, in the container's own /proc. Where all mounts of /proc
  in a PID namespace are one (Linux before 5.8), our own reading of them is seen as well, as by nobody.
"""

import os
import select
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from outrider_sidecar.linux import inotify
from outrider_sidecar.linux.inotify import Inotify, RawEvent
from outrider_sidecar.linux.procfs import PROC, file_facts
from outrider_sidecar.linux.rooted import open_beneath, opened_root
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.readers import Readers
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import FileChanged, FileFacts, ProcessId, SightLost
from outrider_wire.text import clean_text

FILES: Final = (
    b"/etc/shadow", b"/etc/sudoers", b"/etc/pam.conf", b"/etc/security/pwquality.conf",
    b"/etc/profile", b"/etc/bashrc", b"/etc/csh.cshrc", b"/etc/csh.login",
)  # fmt: skip
DIRECTORIES: Final = (b"/etc/sudoers.d", b"/etc/pam.d", b"/etc/zsh")
"""Watched with the files directly in them."""
IN_HOMES: Final = (
    b".bashrc", b".bash_profile", b".bash_history", b".bash_login", b".bash_logout", b".inputrc", b".profile",
    b".cshrc", b".login", b".logout", b".history", b".tcshrc", b".cshdirs",
    b".zshenv", b".zprofile", b".zshrc", b".zlogin", b".zlogout",
)  # fmt: skip
SSH: Final = b".ssh"
ABOVE: Final = (b"/etc", b"/etc/security", b"/home")
"""With the homes themselves: where what is listed may come into being."""

MAX_ENVIRONMENTS: Final = 64
"""Processes whose /proc/PID/environ is watched, in each container: the oldest, which have the secrets."""

MAX_HOMES: Final = 64
MAX_WATCHES: Final = 2_048
MAX_TOLD_EACH_S: Final = 200
RESCAN_S: Final = 2.0
"""Each time costs about 1 ms a container: 0.05 % of a core."""
SOON_S: Final = 0.05
"""Between two scans that names which appear ask for."""
LOOK_S: Final = 0.02
"""Longest that the engine waits for a new container's list. It takes 1 ms, and far longer beside the file watch's own
scan, which starts when the engine goes on: a program may read what is listed in its first milliseconds."""
POLL_S: Final = 0.25
QUIET_NS: Final = 300_000_000
"""What changed is not told of as read for so long, unless its reader is found: our own file watch reads it then."""

_OPENS: Final = inotify.OPEN | inotify.CLOSE_NOWRITE | inotify.CLOSE_WRITE
_COMINGS: Final = inotify.CREATE | inotify.MOVED_TO
_CHANGES: Final = inotify.CLOSE_WRITE | _COMINGS
_NAMES: Final = frozenset(path.rpartition(b"/")[2] for path in (*FILES, *DIRECTORIES, *IN_HOMES, SSH))
_Key = tuple[int, bytes]


class ReadSensor:
    """Tells who reads the listed files in all containers but the one at `own_mnt_ns`. `run` has its own thread."""

    name = "reads"

    def __init__(self, own_mnt_ns: int, *, proc: Path = PROC, clock: Callable[[], int] = time.time_ns) -> None:
        self._proc = proc
        self._readers = Readers(own_mnt_ns, proc=proc)
        self._clock = clock
        self._listed: dict[int, dict[int, bytes]] = {}  # by watch: its path in each container that shows it
        self._above: dict[int, set[int]] = {}  # by watch of a directory above: the containers that show it
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._done = threading.Event()
        self.looked = False
        """Whether the list was gone through once."""
        self._environments: dict[tuple[int, int], int] = {}
        self._told: Counter[_Key] = Counter()
        self._changed_ns: dict[_Key, int] = {}
        self._second = 0
        self._told_this_second = 0
        self._lost = 0
        self._bound_told = False

    def look_again(self) -> None:
        """Go through the list now, and return when that is done or LOOK_S is over: a container has come."""
        self._done.clear()
        os.eventfd_write(self._bell, 1)
        self._done.wait(LOOK_S)

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Block until `stop`. Raises Unavailable where there is no inotify instance."""
        watches = Inotify()
        poller = select.poll()
        for fd in (watches.fileno(), self._bell):
            poller.register(fd, select.POLLIN)
        next_s = 0.0
        try:
            while not stop.is_set():
                if time.monotonic() >= next_s:
                    self.scan(watches, emit)
                    self._done.set()
                    scanned_s = time.monotonic()
                    next_s = scanned_s + RESCAN_S
                wait_s = min(POLL_S, max(next_s - time.monotonic(), 0.0))
                ready = {fd for fd, _ in poller.poll(wait_s * 1000)}
                if watches.fileno() in ready and self.tell(watches.read(), emit):
                    next_s = min(next_s, scanned_s + SOON_S)
                if self._bell in ready:
                    os.eventfd_read(self._bell)
                    next_s = 0.0
        finally:
            watches.close()

    def scan(self, watches: Inotify, emit: Emit) -> None:
        """Put watches on what the list names, in every container; what is watched already stays so."""
        containers, guarded = self._readers.guarded()
        self._forget(watches, containers.keys(), set(guarded))
        for mnt_ns, pid in containers.items():
            try:
                with opened_root(pid, mnt_ns, proc=self._proc) as root:
                    self._watch_above(watches, root, mnt_ns)
                    for path in self._paths(root):
                        self._watch(watches, root, mnt_ns, path)
                    self._watch_environments(watches, root, mnt_ns, guarded[:MAX_ENVIRONMENTS])
            except (ProcessGone, Unavailable, OSError):
                continue  # the file watch tells of a container that cannot be reached
        self.looked = True
        self._changed_ns = {key: at for key, at in self._changed_ns.items() if at + QUIET_NS > self._clock()}
        if len(self._listed) + len(self._above) >= MAX_WATCHES and not self._bound_told:
            self._bound_told = True
            reason = f"more than {MAX_WATCHES} files to be watched for reading"
            emit(SightLost(self._clock(), "reads", reason, standing=True))
        if self._lost:
            reason = "files were read faster than is told of"
            emit(SightLost(self._clock(), "reads", reason, self._lost))
            self._lost = 0

    def tell(self, events: list[RawEvent], emit: Emit) -> bool:
        """Tell of what a run of records comes to, each file once; whether the list is to be gone through again."""
        seen: dict[_Key, Counter[int]] = {}
        came = False
        for event in events:
            key = (event.wd, event.name)
            came = came or self._is_coming(event)
            if event.mask & inotify.IGNORED:
                self._listed.pop(event.wd, None)
                self._above.pop(event.wd, None)
            elif event.wd in self._listed and not (event.mask & inotify.ISDIR and event.name):
                kinds = seen.setdefault(key, Counter())
                kinds.update(bit for bit in (inotify.OPEN, inotify.CLOSE_NOWRITE) if event.mask & bit)
                if event.mask & _CHANGES:
                    kinds[inotify.CLOSE_WRITE] += bool(event.mask & inotify.CLOSE_WRITE)
                    self._changed_ns[key] = self._clock()
        for key, kinds in seen.items():
            if key[0] in self._listed:
                self._tell_one(key, kinds, emit)
        return came

    def _is_coming(self, event: RawEvent) -> bool:
        """Whether something that may be listed, or hold what is, came to be in a directory above."""
        comes = event.wd in self._above and event.mask & _COMINGS
        return bool(comes and (event.name in _NAMES or event.mask & inotify.ISDIR))

    def _tell_one(self, key: _Key, kinds: Counter[int], emit: Emit) -> None:
        over = kinds[inotify.CLOSE_NOWRITE]
        already = min(over, self._told[key])
        self._told[key] -= already
        still_open = kinds[inotify.OPEN] - over - kinds[inotify.CLOSE_WRITE] + already
        if over <= already and still_open <= 0:
            return
        names = [(mnt_ns, self._facts(mnt_ns, _below(path, key[1]))) for mnt_ns, path in self._listed[key[0]].items()]
        for mnt_ns, facts in names:
            reader = self._readers.find(mnt_ns, facts) if facts.ino else None
            if reader is not None:
                self._told[key] += still_open > 0
                self._emit(mnt_ns, facts, reader, emit)
                return
        just_changed = self._clock() - self._changed_ns.get(key, 0) < QUIET_NS
        if over > already and not just_changed:
            for mnt_ns, facts in names:
                if not stat.S_ISDIR(facts.mode):
                    self._emit(mnt_ns, facts, None, emit)

    def _emit(self, mnt_ns: int, facts: FileFacts, reader: ProcessId | None, emit: Emit) -> None:
        now_ns = self._clock()
        if now_ns // 1_000_000_000 != self._second:
            self._second, self._told_this_second = now_ns // 1_000_000_000, 0
        self._told_this_second += 1
        if self._told_this_second > MAX_TOLD_EACH_S:
            self._lost += 1
            return
        kind: Final = "dir" if stat.S_ISDIR(facts.mode) else ""
        how: Final = "inferred" if reader is not None else "unknown"
        emit(FileChanged(now_ns, "opened", facts, mnt_ns=mnt_ns, kind=kind, actor=reader, attribution=how))

    def _watch_environments(self, watches: Inotify, root: int, mnt_ns: int, pids: list[int]) -> None:
        for pid in pids:
            if (mnt_ns, pid) not in self._environments:
                wd = self._watch(watches, root, mnt_ns, b"/proc/%d/environ" % pid)
                if wd >= 0:
                    self._environments[mnt_ns, pid] = wd

    def _forget(self, watches: Inotify, containers: Collection[int], living: set[int]) -> None:
        """Drop what is of a container or a process that is gone: a watch would keep its inode."""
        gone = {self._environments.pop(key) for key in list(self._environments) if key[1] not in living}
        for wd, shown in list(self._listed.items()):
            for mnt_ns in [mnt_ns for mnt_ns in shown if mnt_ns not in containers]:
                del shown[mnt_ns]
            if not shown or wd in gone:
                del self._listed[wd]
                if wd not in self._above:
                    watches.remove(wd)
        for wd, shown_by in list(self._above.items()):
            shown_by.intersection_update(containers)
            if not shown_by:
                del self._above[wd]
                if wd not in self._listed:
                    watches.remove(wd)

    def _watch_above(self, watches: Inotify, root: int, mnt_ns: int) -> None:
        """Before what is in them: what comes while the list is gone through is found by the next time."""
        for path in (*ABOVE, *self._homes(root)):
            wd = self._add(watches, root, path, _COMINGS | inotify.MASK_ADD)
            if wd >= 0:
                self._above.setdefault(wd, set()).add(mnt_ns)

    def _watch(self, watches: Inotify, root: int, mnt_ns: int, path: bytes) -> int:
        """The watch descriptor; -1 where there is nothing to watch, or no watch to be had."""
        wd = self._add(watches, root, path, _OPENS | _CHANGES)
        if wd >= 0:
            self._listed.setdefault(wd, {})[mnt_ns] = path
        return wd

    def _add(self, watches: Inotify, root: int, path: bytes, mask: int) -> int:
        if len(self._listed) + len(self._above) >= MAX_WATCHES:
            return -1
        try:
            fd = open_beneath(root, path, os.O_PATH)
        except OSError:
            return -1
        try:
            return watches.add_descriptor(fd, mask)
        except OSError:
            return -1  # out of watches: the file watch tells
        finally:
            os.close(fd)

    def _paths(self, root: int) -> Iterator[bytes]:
        yield from FILES
        yield from DIRECTORIES
        for home in self._homes(root):
            yield from (home + b"/" + name for name in (*IN_HOMES, SSH))

    def _homes(self, root: int) -> Iterable[bytes]:
        try:
            fd = open_beneath(root, b"/home", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return [b"/root"]
        try:
            return [b"/root", *(b"/home/" + os.fsencode(name) for name in sorted(os.listdir(fd))[:MAX_HOMES])]
        finally:
            os.close(fd)

    def _facts(self, mnt_ns: int, path: bytes) -> FileFacts:
        pid = self._readers.guarded()[0].get(mnt_ns)
        try:
            if pid is not None:
                with opened_root(pid, mnt_ns, proc=self._proc) as root:
                    fd = open_beneath(root, path, os.O_PATH)
                    try:
                        return file_facts(clean_text(path), os.fstat(fd))
                    finally:
                        os.close(fd)
        except (ProcessGone, Unavailable, OSError):
            pass  # told of by its name alone
        return FileFacts(clean_text(path), nlink=0)


def _below(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if name else path
