"""From inotify records to changes: what a burst about one file comes to. Pure.

A program that writes a file makes at least CREATE, CLOSE_WRITE and ATTRIB. When they are read together, the file
is looked at once and told of once. What a run of records about one name comes to is its first change that says
most: created, moved in and written each say that the content may be new, and a change of attributes says less.
A deletion or a move away ends the run, so that a file made, deleted and made again is told of three times.
"""

from collections.abc import Iterable
from typing import Final

from outrider_sidecar.linux import inotify
from outrider_sidecar.linux.inotify import RawEvent
from outrider_wire.events import FileChange

MASK: Final = (
    inotify.CREATE
    | inotify.CLOSE_WRITE
    | inotify.MOVED_TO
    | inotify.MOVED_FROM
    | inotify.DELETE
    | inotify.ATTRIB
    | inotify.ONLYDIR
    | inotify.EXCL_UNLINK
)

_CHANGES: Final[tuple[tuple[int, FileChange], ...]] = (
    (inotify.CREATE, "created"),
    (inotify.MOVED_TO, "moved_in"),
    (inotify.CLOSE_WRITE, "written"),
    (inotify.MOVED_FROM, "moved_out"),
    (inotify.DELETE, "deleted"),
    (inotify.ATTRIB, "attributes"),
)
_ENDS: Final = ("moved_out", "deleted")


class Change:
    """What happened to one name in one watched directory. `wrote`: a CLOSE_WRITE was among it."""

    __slots__ = ("change", "cookie", "is_dir", "name", "wd", "wrote")

    def __init__(self, event: RawEvent, change: FileChange) -> None:
        self.wd = event.wd
        self.name = event.name
        self.change: FileChange = change
        self.cookie = event.cookie
        self.is_dir = bool(event.mask & inotify.ISDIR)
        self.wrote = change == "written"

    def absorb(self, event: RawEvent, change: FileChange) -> None:
        """Take a later record of the same run in."""
        self.wrote |= change == "written"
        if self.change == "attributes":
            self.change, self.cookie = change, event.cookie


def coalesce(events: Iterable[RawEvent]) -> list[Change]:
    """The changes that records of one read come to, in order; records about a directory itself are left out."""
    changes: list[Change] = []
    runs: dict[tuple[int, bytes], Change] = {}
    for event in events:
        change = _change_of(event.mask)
        if change is None or not event.name:
            continue
        key = (event.wd, event.name)
        run = runs.get(key)
        if run is not None and change not in _ENDS and change != "moved_in":
            run.absorb(event, change)
            continue
        changes.append(Change(event, change))
        if change in _ENDS:
            runs.pop(key, None)
        else:
            runs[key] = changes[-1]
    return changes


def _change_of(mask: int) -> FileChange | None:
    return next((change for bit, change in _CHANGES if mask & bit), None)
