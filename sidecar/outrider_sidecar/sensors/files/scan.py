"""Putting watches on a container's directories, a slice at a time, and finding what changed unseen.

Each directory is watched and then listed, in this order, so that nothing made meanwhile is missed: what was made
before the listing is found by it, what was made after the watch is told by it, and what is both is told once
(`listed`). What was in a directory that appeared under watch is told of with the label of the directory. What
was in a directory of the first scan, or of a scan after a gap, is told of as `found` where it changed since the
baseline and can matter: its mtime alone would not show the change, or it is a program or a script.

A slice is short, because events wait meanwhile; urgent directories (new ones) come before all others, and their
order is that of lines.py. The root of the container is opened for one slice and closed with it.
"""

import errno
import os
import stat
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from outrider_sidecar.decode.elf import kind_of
from outrider_sidecar.linux import inotify
from outrider_sidecar.linux.inotify import OUT_OF_WATCHES, Inotify
from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.linux.rooted import HEAD_BYTES, look, open_beneath, resolve
from outrider_sidecar.sensors.files.coalesce import MASK
from outrider_sidecar.sensors.files.lines import BEHIND_NEW, NEW, NOWHERE, Lines, Stem, Visit
from outrider_sidecar.sensors.files.places import DEEP, DEVICES, NEVER_BELOW, OWN, places_of
from outrider_sidecar.sensors.files.tree import GuardedRoot, Watched, WatchTree
from outrider_wire.events import FileChange, FileChanged
from outrider_wire.text import clean_text

MAX_WATCHES: Final = 65_536
"""Most directories watched in all; the kernel holds about 1 KiB for each."""

MAX_WATCHES_PER_CONTAINER: Final = 24_576
MAX_DEPTH: Final = 32
"""Deepest directory watched, in components of its path."""

RESERVED: Final = 2_048
"""Of a container's watches, those that what lies below its places leaves to directories that appear later, and to
the own level of places that become known later; a quarter at most."""

RESERVED_FOR_PLACES: Final = 128
"""Of those again, how many are left to the own level of places alone; a 16th at most."""

MAX_WAITING: Final = 65_536
"""Most directories that wait to be visited; past that they are counted as unwatched."""

MAX_LISTED: Final = 16_384
"""Most names remembered as told by a listing; past that one may be told of twice."""

MAX_ENTRIES: Final = 100_000
"""Most entries listed of one directory; it is watched all the same."""

_QUIET_MASK: Final = MASK & ~(inotify.CLOSE_WRITE | inotify.ATTRIB)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class Bounds(NamedTuple):
    """How much may be watched."""

    total: int = MAX_WATCHES
    per_container: int = MAX_WATCHES_PER_CONTAINER
    depth: int = MAX_DEPTH
    reserved: int = RESERVED


class Scanner:
    """Visits directories in order of urgency. Used by the sensor's thread alone."""

    def __init__(
        self,
        watches: Inotify,
        tree: WatchTree,
        emit: Callable[[FileChanged], None],
        *,
        bounds: Bounds,
        clock: Callable[[], int],
    ) -> None:
        self._watches = watches
        self._tree = tree
        self._emit = emit
        self._bounds = bounds
        self._clock = clock
        self._lines = Lines()
        self._new = Stem()
        self.listed: dict[tuple[int, bytes], int] = {}

    @property
    def waiting(self) -> int:
        return self._lines.waiting

    def add_places(self, root: GuardedRoot, root_fd: int, extra: tuple[str, ...]) -> None:
        """Put every place of a container in line, links such as /bin resolved inside its root, each once."""
        chosen: dict[bytes, tuple[int, int, bool]] = {}
        for place in places_of(extra):
            try:
                path = resolve(root_fd, place.path)
            except OSError:
                continue  # a loop of links: nothing is there
            if path.startswith(NEVER_BELOW):
                continue
            rank, below, shallow = chosen.get(path, (place.rank, place.below, place.shallow))
            chosen[path] = (min(rank, place.rank), min(below, place.below), shallow and place.shallow)
        for path, (rank, below, shallow) in chosen.items():
            line, below_line = BEHIND_NEW + rank, BEHIND_NEW + below
            self._push(Visit(root, line, below_line, Stem(), None, path, None, 0, shallow))

    def add_new(self, parent: Watched, name: bytes, label: FileChange) -> None:
        """Put a directory in line that appeared under watch: before everything else."""
        self._push(Visit(parent.root, NEW, NEW, self._new, parent, name, label, 0))

    def begin_anew(self, root: GuardedRoot) -> None:
        """Take back that a container's directories have been inspected."""
        for node in self._tree.of_container(root):
            node.inspected_ns = 0

    def doubt(self, root: GuardedRoot, since_ns: int) -> None:
        """Let events of a container have been lost since then, until its directories are inspected again."""
        for node in self._tree.of_container(root):
            node.doubted_ns = min(node.doubted_ns or since_ns, since_ns)

    def look_again(self, root: GuardedRoot, since_ns: int, *, for_new: bool) -> None:
        """Visit every directory of a container again, for what changed at or after `since_ns`.

        `for_new`: events were lost, and a directory that is not known is new. Otherwise it is in line already.
        """
        places = {id(node) for node in root.tops.values()}
        below, stem = NEW if for_new else NOWHERE, Stem()
        for node in self._tree.of_container(root):
            line = BEHIND_NEW + (OWN if id(node) in places else DEEP)
            again = Visit(root, line, below, stem, node.parent, node.name, None, since_ns, node.shallow, again=True)
            self._push(again)

    def forget(self, root: GuardedRoot) -> None:
        """Take a container out of every line."""
        self._lines.forget(root)

    def next_root(self) -> GuardedRoot | None:
        """Whose directory is next in line."""
        return self._lines.next_root()

    def visit_some(self, root: GuardedRoot, root_fd: int, count: int) -> None:
        """Visit the next directories as long as they are of `root`, at most `count`."""
        for _ in range(count):
            visit = self._lines.pop(root)
            if visit is None:
                return
            if visit.label is None and not visit.again:
                visit = visit._replace(since_ns=root.baseline_ns)  # as it is known by now
            self._visit(visit, root_fd)
            self._lines.visited(visit)

    def _push(self, visit: Visit) -> None:
        if self.waiting >= MAX_WAITING and not visit.important:
            self._unwatched(visit.root, f"more than {MAX_WAITING} directories waited to be watched")
            return
        self._lines.push(visit)

    def _visit(self, visit: Visit, root_fd: int) -> None:
        path = visit.name if visit.parent is None else visit.parent.path().rstrip(b"/") + b"/" + visit.name
        if not visit.again and (refusal := self._beyond_bounds(visit)):
            self._unwatched(visit.root, refusal)
            return
        try:
            fd = open_beneath(root_fd, path, _DIRECTORY)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE):
                self._unwatched(visit.root, f"{clean_text(path)} may not be opened: {os.strerror(error.errno)}")
            return  # otherwise it is gone, or is no directory now: then there is nothing to watch
        try:
            node = self._watch(visit, fd)
            if node is not None:
                self._list(visit, node, fd, path.rstrip(b"/"))
        finally:
            os.close(fd)

    def _watch(self, visit: Visit, fd: int) -> Watched | None:
        """The directory with its watch on; None where a bound was met or it is known and need not be listed."""
        root = visit.root
        try:
            wd = self._watches.add_descriptor(fd, _QUIET_MASK if visit.name == DEVICES else MASK)
        except OSError as error:
            if error.errno in OUT_OF_WATCHES:
                self._unwatched(root, "the kernel's watches are used up; raise fs.inotify.max_user_watches")
            elif error.errno == errno.EACCES:
                self._unwatched(root, "a directory may not be read; give the sidecar DAC_OVERRIDE")
            return None
        known = self._tree.of_root(wd, root)
        if known is None:
            node = self._tree.attach(wd, root, visit.parent, visit.name)
            node.shallow = visit.shallow
            return node
        widened = known.shallow and not visit.shallow
        known.shallow = known.shallow and visit.shallow
        return known if widened or visit.again or visit.label else None

    def _beyond_bounds(self, visit: Visit) -> str:
        """Why a directory is not to be watched any more; empty where it may be."""
        root, depth = visit.root, visit.parent.depth + 1 if visit.parent else visit.name.count(b"/")
        reserved = self._reserved_from(visit)
        if root.directories >= self._bounds.per_container - reserved:
            return f"the bound of {self._bounds.per_container} directories of one container was reached"
        if self._tree.directories >= self._bounds.total - reserved:
            return f"the bound of {self._bounds.total} directories in all was reached"
        return f"they lie deeper than {self._bounds.depth} levels" if depth > self._bounds.depth else ""

    def _reserved_from(self, visit: Visit) -> int:
        """How many watches this visit may not take."""
        if visit.important:
            return 0
        if visit.label:
            return min(RESERVED_FOR_PLACES, self._bounds.reserved // 16, self._bounds.per_container // 16)
        return min(self._bounds.reserved, self._bounds.per_container // 4)

    def _unwatched(self, root: GuardedRoot, why: str) -> None:
        root.unwatched += 1
        root.unwatched_why = why

    def _list(self, visit: Visit, node: Watched, fd: int, path: bytes) -> None:
        try:
            with os.scandir(fd) as entries:
                for count, entry in enumerate(entries):
                    if count >= MAX_ENTRIES:
                        self._unwatched(visit.root, f"{clean_text(path)} has more than {MAX_ENTRIES} entries")
                        return
                    self._entry(visit, node, entry, fd, path)
        except OSError:
            return  # the directory is gone meanwhile: its watch tells
        if visit.since_ns or visit.label:
            if not (node.inspected_ns and visit.again):
                node.inspected_ns = self._clock()
            node.doubted_ns = 0

    def _entry(self, visit: Visit, node: Watched, entry: "os.DirEntry[str]", fd: int, path: bytes) -> None:
        try:
            is_dir = entry.is_dir(follow_symlinks=False)
            if is_dir:
                self._directory(visit, node, os.fsencode(entry.name))
            if visit.label:
                name = os.fsencode(entry.name)
                if len(self.listed) < MAX_LISTED:
                    self.listed[node.wd, name] = entry.inode()
                self._tell(visit, visit.label, path, name, entry.stat(follow_symlinks=False), fd)
            elif visit.since_ns and not is_dir:
                status = entry.stat(follow_symlinks=False)
                if status.st_ctime_ns >= visit.since_ns:
                    self._tell(visit, "found", path, os.fsencode(entry.name), status, fd)
        except OSError:
            return  # the entry is gone meanwhile: the watch tells

    def _directory(self, visit: Visit, node: Watched, name: bytes) -> None:
        if self._tree.adopt(node, name):
            known = self._tree.child(node, name)
            if known is not None and not known.shallow and not visit.label:
                return  # a place by itself: what lies below it is in line already
        if visit.shallow:
            return  # what is below a shallow place and is no place itself stays unwatched
        if not visit.again:
            line = NEW if visit.label else visit.below
            self._push(Visit(visit.root, line, line, visit.stem, node, name, visit.label, visit.since_ns))
        elif visit.below != NOWHERE and self._tree.child(node, name) is None:
            self._push(Visit(visit.root, NEW, NEW, self._new, node, name, "found", 0))

    def _tell(
        self, visit: Visit, change: FileChange, path: bytes, name: bytes, status: os.stat_result, fd: int
    ) -> None:
        kind: Literal["elf", "script", "dir", "other"] = "dir" if stat.S_ISDIR(status.st_mode) else "other"
        if stat.S_ISREG(status.st_mode):
            status, head = look(fd, name, head_bytes=HEAD_BYTES)
            kind = kind_of(head)
        if not visit.label and status.st_mtime_ns >= visit.since_ns and kind not in ("elf", "script"):
            return
        facts = file_facts(clean_text(path + b"/" + name), status)
        self._emit(FileChanged(self._clock(), change, facts, mnt_ns=visit.root.mnt_ns, kind=kind))
