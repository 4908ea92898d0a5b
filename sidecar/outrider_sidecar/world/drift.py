"""Drift: whether a file is new in its container, and how that is known. Pure.

A file is new when its ctime is at or after the baseline (the container's creation) and either its mtime is too, or
the watch saw it created, linked, moved in or closed after writing. ctime cannot be set back by an ordinary user,
so an older ctime always means old. A newer ctime alone may be chmod, chown or a new hard link to the same bytes;
mtime alone may be anything, since `touch -d`, `cp -p` and `mv` keep or set it. What the watch saw decides:

- it saw a name made or a writer close: new, whatever mtime says. A program that opens a file for writing and
  writes nothing (GNU touch does) is told of the same way and counts as new: the kernel says no more.
- it saw nothing, in a directory watched and inspected since before the change: attributes alone changed; old.
- the file had changed already when the watch began (`found`), the directory is not watched, sight was lost at the time
  of the change, or too much was seen to be remembered: undecided.

A ctime is never earlier than any change of its file. So sight that was lost after it hid nothing of that file, and what
was judged by silence stays judged. What was made while sight was lost and given new attributes later has a later ctime:
it is `found`, for the directories are gone through after each loss, and until that is done the loss is not over.

A hard link to an image's file is a new name for old bytes. The new name is new (somebody made a program appear
there, and renaming /bin/sh is a way to hide it); the old name is not, though they share inode and ctime. Names
made by link(2) are therefore remembered by path alone, all others by inode too while it has one name, so that a
rename of a directory above does not lose them.

A file whose facts could not be read is judged by its name alone: by what the watch saw of that, or did not.

A file with no name left when it was started (deleted, O_TMPFILE, memfd) is fileless, whatever its age.
"""

import posixpath
import stat
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from outrider_sidecar.sight import Sight
from outrider_wire.events import FileChange, FileChanged, FileFacts, ProcessId

MAX_SEEN: Final = 8_192
"""Most file names remembered of one container, the latest; some 2.7 MiB."""

Verdict = Literal["new", "old", "undecided", "fileless"]

SightOf = Callable[[str], Sight | None]
"""When the changes in a directory were seen; None where that cannot be said."""

_MADE: Final = ("created", "linked", "moved_in", "written")
_GONE: Final = ("deleted", "moved_out")
_DELETED: Final = " (deleted)"
_SAID: Final[dict[str, str]] = {
    "created": "it was created",
    "linked": "a hard link of that name was made",
    "moved_in": "it was moved there",
    "written": "it was written",
}


class Drift(Struct, frozen=True, gc=False):
    """What is held of a file. `changed_at_ns` is when it became so, 0 for never; `by` whose hand, where known.

    `by_silence`: the verdict rests on the watch having told of nothing; it may not have told of all yet. Whoever
    must be sure judges again once the watch has caught up and what it told is observed.
    """

    verdict: Verdict
    reason: str
    changed_at_ns: int = 0
    by: ProcessId | None = None
    by_silence: bool = False
    by_exactly: bool = False
    """Whether `by` was told by the kernel, not inferred."""


class SeenFile(Struct, frozen=True, gc=False):
    """What the watch last saw of one name. `gone`: it was deleted or moved away since."""

    path: str
    change: FileChange
    at_ns: int
    dev: int = 0
    ino: int = 0
    by: ProcessId | None = None
    gone: bool = False
    by_exactly: bool = False


class DriftState(Struct, frozen=True):
    """A DriftRecord as plain data, for the journal: a restart of the container keeps its upper layer."""

    baseline_ns: int
    seen: list[SeenFile] = []
    forgotten_ns: int = 0


def _made(seen: SeenFile) -> Drift:
    said = f"{_SAID[seen.change]} after the container was created"
    return Drift("new", said, seen.at_ns, seen.by, by_exactly=seen.by_exactly)


def _unwatched(_: str) -> Sight | None:
    return None


class DriftRecord:
    """What was seen of the files of one container since its baseline."""

    def __init__(self, baseline_ns: int, sight_of: SightOf = _unwatched, *, max_seen: int = MAX_SEEN) -> None:
        self.baseline_ns = baseline_ns
        self._sight_of = sight_of
        self._max_seen = max_seen
        self._seen: OrderedDict[str, SeenFile] = OrderedDict()
        self._by_inode: dict[tuple[int, int], str] = {}
        self._forgotten_ns = 0

    @classmethod
    def restore(cls, state: DriftState, sight_of: SightOf = _unwatched, *, max_seen: int = MAX_SEEN) -> "DriftRecord":
        """The record that `state` was taken of."""
        record = cls(state.baseline_ns, sight_of, max_seen=max_seen)
        record._forgotten_ns = state.forgotten_ns
        for seen in state.seen:
            record._remember(seen)
        return record

    def state(self) -> DriftState:
        """All that is remembered, as plain data."""
        return DriftState(self.baseline_ns, list(self._seen.values()), self._forgotten_ns)

    def set_baseline(self, baseline_ns: int) -> None:
        """Judge from another moment on: the container's creation became known."""
        self.baseline_ns = baseline_ns

    def observe(self, event: FileChanged) -> None:
        """Take in what the watch told."""
        file, known = event.file, self._seen.get(event.file.path)
        if event.change in _GONE:
            if known is not None:
                self._seen[file.path] = replace(known, gone=True)
            return
        if event.change == "opened" or event.kind == "dir" or (file.mode and not stat.S_ISREG(file.mode)):
            return
        if event.change in _MADE or (event.change == "found" and (known is None or known.gone)):
            exactly = event.attribution == "exact"
            self._remember(
                SeenFile(file.path, event.change, event.at_ns, file.dev, file.ino, event.actor, by_exactly=exactly)
            )

    def _remember(self, seen: SeenFile) -> None:
        if (before := self._seen.get(seen.path)) is not None:
            self._forget_inode(before)
        self._seen[seen.path] = seen
        self._seen.move_to_end(seen.path)
        if seen.ino and seen.change != "linked":
            self._by_inode[seen.dev, seen.ino] = seen.path
        while len(self._seen) > self._max_seen:
            _, oldest = self._seen.popitem(last=False)
            self._forgotten_ns = max(self._forgotten_ns, oldest.at_ns)
            self._forget_inode(oldest)

    def _forget_inode(self, seen: SeenFile) -> None:
        if self._by_inode.get((seen.dev, seen.ino)) == seen.path:
            del self._by_inode[seen.dev, seen.ino]

    def judge(self, file: FileFacts) -> Drift:
        """Whether a file, as it was when it was started or loaded, is new."""
        if file.nlink == 0 or (not file.ino and file.path.startswith("/memfd:")):
            return Drift("fileless", "it had no name in any directory when it was started", file.ctime_ns)
        if not file.ino:
            return self._judge_by_name(file.path)
        if file.ctime_ns < self.baseline_ns:
            return Drift("old", "it has not changed since the container was created")
        seen = self._seen_of(file)
        if seen is not None and seen.change in _MADE:
            return _made(seen)
        if file.mtime_ns >= self.baseline_ns:
            return Drift("new", "its content changed after the container was created", file.mtime_ns)
        return self._judge_by_silence(file, seen)

    def _judge_by_name(self, path: str) -> Drift:
        """A file that could not be looked at: whoever was asked to run it had ended, and it may have gone as well."""
        path = posixpath.normpath(path)
        seen = self._seen.get(path)
        if seen is not None and seen.change in _MADE:
            return _made(seen)
        if seen is not None or self._sight_of(posixpath.dirname(path)) is None:
            return Drift("undecided", "its facts could not be read")
        return Drift("old", "no change of it was seen, in a watched directory", by_silence=True)

    def _judge_by_silence(self, file: FileFacts, seen: SeenFile | None) -> Drift:
        """Changed since the baseline, with older content as far as its mtime tells, and the watch told of no making."""
        if seen is not None:
            return Drift("undecided", "it had changed before the watch began, and how is not known", file.ctime_ns)
        if file.ctime_ns <= self._forgotten_ns:
            return Drift("undecided", "it changed at a time of which too much was seen to be remembered", file.ctime_ns)
        sight = self._sight_of(posixpath.dirname(file.path))
        if sight is None or not sight.was_had(file.ctime_ns):
            return Drift("undecided", "it changed while its directory was not watched", file.ctime_ns)
        return Drift("old", "its attributes alone changed, under watch", file.ctime_ns, by_silence=True)

    def _seen_of(self, file: FileFacts) -> SeenFile | None:
        by_path = self._seen.get(file.path) or self._seen.get(file.path.removesuffix(_DELETED))
        if by_path is not None:
            return by_path
        path = self._by_inode.get((file.dev, file.ino)) if file.nlink == 1 else None
        return self._seen.get(path) if path is not None else None
