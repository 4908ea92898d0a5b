"""Reading of listed files on a host: the list of `sensors/reads.py`, marked inode by inode, told with who it was.

A mark of an inode lasts as long as the file, so a listed name that comes into being anew is marked when that is told.
ACCESS comes with each read and says that something was read; CLOSE_NOWRITE comes for all that was open for reading, as
when it was mapped. Whoever reads and then closes is told of once.

The environments of a container's oldest processes are marked in its own /proc, when it is met and again as programs
are started in it. Such a mark is evictable: it must not keep what is left of a process in memory.
"""

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

from outrider_sidecar.linux import fanotify
from outrider_sidecar.linux.fanotify import Fanotify
from outrider_sidecar.linux.rooted import open_beneath
from outrider_sidecar.sensors.host.containers import Marked
from outrider_sidecar.sensors.host.opens import READS, Read
from outrider_sidecar.sensors.reads import (
    DIRECTORIES,
    FILES,
    IN_HOMES,
    MAX_ENVIRONMENTS,
    MAX_HOMES,
    MAX_TOLD_EACH_S,
    SSH,
)

LOOK_EVERY_NS: Final = 2_000_000_000
"""How often new processes of a container are looked for, at most, to mark their environments."""
MAX_READING: Final = 4_096
"""Most readers remembered as told of; past that the oldest may be told of twice."""

_NAMES: Final = frozenset(path.rpartition(b"/")[2] for path in (*FILES, *DIRECTORIES, *IN_HOMES, SSH))


class ListedFiles:
    """Marks what is listed, and says which of its readers to tell of. `lost` counts those past the bound."""

    def __init__(self, group: Fanotify) -> None:
        self._group = group
        self._reading: OrderedDict[tuple[int, int, int], None] = OrderedDict()
        self._second = 0
        self._told_this_second = 0
        self._looked_ns: dict[int, int] = {}
        self.lost = 0

    def mark(self, root_fd: int) -> None:
        """Mark every listed file of a container."""
        for path in _listed_paths(root_fd):
            self.mark_path(root_fd, path)

    def mark_path(self, root_fd: int, path: bytes) -> None:
        """Mark one listed file, where it exists."""
        try:
            fd = open_beneath(root_fd, path, os.O_PATH)
        except OSError:
            return
        try:
            self._group.mark_descriptor(fd, READS | fanotify.EVENT_ON_CHILD | fanotify.ONDIR)
        except OSError:
            return  # its file system takes no marks
        finally:
            os.close(fd)

    def is_listed(self, path: bytes) -> bool:
        """Whether a name that came into being is to be marked."""
        folder, _, name = path.rpartition(b"/")
        if name not in _NAMES:
            return False
        return path in FILES or path in DIRECTORIES or folder == b"/root" or folder.startswith(b"/home/")

    def is_due(self, container: Marked, now_ns: int) -> bool:
        """Whether a container's processes were not looked at a moment ago."""
        return now_ns - self._looked_ns.get(container.mnt_ns, 0) >= LOOK_EVERY_NS

    def mark_environments(self, container: Marked, root_fd: int, now_ns: int) -> None:
        """Mark the environments of a container's oldest processes."""
        self._looked_ns[container.mnt_ns] = now_ns
        oldest = _oldest_processes(root_fd)
        for pid in oldest.difference(container.environments):
            self._mark_environment(root_fd, pid)
        container.environments = oldest

    def forget(self, mnt_ns: int) -> None:
        """A container is gone."""
        self._looked_ns.pop(mnt_ns, None)

    def _mark_environment(self, root_fd: int, pid: int) -> None:
        try:
            fd = open_beneath(root_fd, b"/proc/%d/environ" % pid, os.O_PATH)
        except OSError:
            return
        try:
            self._group.mark_descriptor(fd, READS, fanotify.MARK_EVICTABLE)
        except OSError:
            return  # Linux before 5.19
        finally:
            os.close(fd)

    def choose(self, reads: Iterable[Read], now_ns: int) -> list[Read]:
        """Those to tell of: each reading once."""
        chosen = []
        for read in reads:
            key = (read.pid, read.status.st_dev, read.status.st_ino)
            known = key in self._reading
            if read.is_over:
                self._reading.pop(key, None)
            elif not known:
                self._reading[key] = None
                if len(self._reading) > MAX_READING:
                    self._reading.popitem(last=False)
            if not known and self._may_tell(now_ns):
                chosen.append(read)
        return chosen

    def _may_tell(self, now_ns: int) -> bool:
        if now_ns // 1_000_000_000 != self._second:
            self._second, self._told_this_second = now_ns // 1_000_000_000, 0
        self._told_this_second += 1
        self.lost += self._told_this_second > MAX_TOLD_EACH_S
        return self._told_this_second <= MAX_TOLD_EACH_S


def _listed_paths(root_fd: int) -> Iterator[bytes]:
    yield from FILES
    yield from DIRECTORIES
    for home in (b"/root", *(b"/home/" + name for name in _names_in(root_fd, b"/home")[:MAX_HOMES])):
        yield from (home + b"/" + name for name in (*IN_HOMES, SSH))


def _oldest_processes(root_fd: int) -> set[int]:
    return set(sorted(int(name) for name in _names_in(root_fd, b"/proc") if name.isdigit())[:MAX_ENVIRONMENTS])


def _names_in(root_fd: int, path: bytes) -> list[bytes]:
    try:
        fd = open_beneath(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        return sorted(map(os.fsencode, os.listdir(fd)))
    finally:
        os.close(fd)
