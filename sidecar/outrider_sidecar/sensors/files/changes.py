"""From a coalesced change to a FileChanged: the file is looked at, and the tree follows renamed directories.

A directory that is moved away is kept in mind for a moment: where it arrives at another watched place under the
same cookie it keeps its watches under its new name, else all watches below it are taken away, for their paths
would be wrong.
"""

import stat
from collections.abc import Callable
from typing import Final, Literal

from outrider_sidecar.decode.elf import kind_of
from outrider_sidecar.linux.inotify import Inotify
from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.linux.rooted import HEAD_BYTES, look
from outrider_sidecar.sensors.files.coalesce import Change
from outrider_sidecar.sensors.files.scan import Scanner
from outrider_sidecar.sensors.files.tree import GuardedRoot, Watched, WatchTree
from outrider_wire.events import FileChange, FileChanged, FileFacts
from outrider_wire.text import clean_text

MOVE_NS: Final = 500_000_000
"""How long the second half of a rename is waited for; the kernel queues both together."""

CONTENT: Final = ("created", "moved_in", "written")
GONE: Final = ("deleted", "moved_out")


class ChangeTeller:
    """Turns changes into events. Used by the sensor's thread alone."""

    def __init__(
        self,
        watches: Inotify,
        tree: WatchTree,
        scanner: Scanner,
        emit: Callable[[FileChanged], None],
        *,
        clock: Callable[[], int],
    ) -> None:
        self._watches = watches
        self._tree = tree
        self._scanner = scanner
        self._emit = emit
        self._clock = clock
        self._moving: dict[tuple[int, int], tuple[int, Watched]] = {}

    def tell(self, changes: list[Change], root_of: Callable[[GuardedRoot], int | None]) -> None:
        """Tell of each change, in each container it is seen in; `root_of` gives an open root, or None."""
        for change in changes:
            for node in self._tree.at(change.wd):
                self._tell_one(node, change, root_of(node.root))

    def _tell_one(self, node: Watched, change: Change, root_fd: int | None) -> None:
        what = change.change
        if self._scanner.listed.pop((node.wd, change.name), None) is not None and what in ("created", "moved_in"):
            if not change.wrote:
                return  # told of already, by the listing of its directory
            what = "written"
        if change.is_dir:
            self._follow(node, change)
        path = node.path().rstrip(b"/") + b"/" + change.name
        facts, kind = FileFacts(clean_text(path), nlink=0), ""
        if what not in GONE and root_fd is not None:
            what, facts, kind = _read(root_fd, path, what, change)
        self._emit(FileChanged(self._clock(), what, facts, mnt_ns=node.root.mnt_ns, kind=_kind(kind)))

    def _follow(self, node: Watched, change: Change) -> None:
        """Keep the tree right after a change of a directory."""
        key = (change.cookie, id(node.root))
        if change.change == "created":
            self._scanner.add_new(node, change.name, "created")
        elif change.change == "moved_in":
            _, moved = self._moving.pop(key, (0, None))
            if moved is not None:
                self._tree.move(moved, node, change.name)
            self._scanner.add_new(node, change.name, "moved_in")
        elif change.change == "moved_out":
            child = self._tree.child(node, change.name)
            if child is not None:
                self._moving[key] = (self._clock(), child)

    def expire_moves(self) -> None:
        """Take the watches off directories that were moved to where nothing is watched."""
        if not self._moving:
            return
        too_old_ns = self._clock() - MOVE_NS
        for key, (at_ns, node) in list(self._moving.items()):
            if at_ns <= too_old_ns:
                del self._moving[key]
                for wd in self._tree.drop(node):
                    self._watches.remove(wd)


def _read(root_fd: int, path: bytes, what: FileChange, change: Change) -> tuple[FileChange, FileFacts, str]:
    """The change, named more exactly, with what the file is now; a file that is gone has `nlink` 0."""
    try:
        status, head = look(root_fd, path, head_bytes=HEAD_BYTES if what in CONTENT else 0)
    except OSError:
        return what, FileFacts(clean_text(path), nlink=0), ""
    facts = file_facts(clean_text(path), status)
    if stat.S_ISDIR(status.st_mode):
        return what, facts, "dir"
    if what not in CONTENT:
        return what, facts, ""
    if what == "created" and not change.wrote and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        what = "linked"  # link(2) is told as a creation; a file just made has one name
    return what, facts, kind_of(head)


def _kind(kind: str) -> Literal["elf", "script", "dir", "other", ""]:
    return kind if kind in ("elf", "script", "dir", "other") else ""  # type: ignore[return-value]  # narrowed by `in`
