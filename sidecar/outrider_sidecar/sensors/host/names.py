"""From events about names to what happened in a container: what overlayfs does for itself is told apart. Pure.

A container's files are seen in the upper directory of its overlay, on the file system that holds it. There every
change is seen, and besides them what overlayfs does on the way. Measured, and the same on ext4 and tmpfs:

- A file of the image that is about to be changed is copied up: it is made without a name in the work directory
  (ATTRIB there), then linked into place: CREATE. Where the file system has no O_TMPFILE, or for links and devices, it
  is made in the work directory and renamed into place; so are directories, always. What is told of a copy-up is
  nothing: the change that asked for it comes next (ATTRIB, a rename, a close after writing).
- A file of the image that is deleted leaves a whiteout, a character device 0:0: made in the work directory, renamed
  over the name. All whiteouts are links of one inode.
- What is made where a whiteout stands is made in the work directory and renamed over it; a directory is exchanged
  with it. A directory that is deleted is exchanged with an empty one, then with a whiteout.
- Attributes of directories are set on each of these occasions, after the fact.
- A directory that is made and deleted before that was read is one event, merged, and what happened in it comes after
  it. So a deleted directory is kept in mind for a while.

So what comes out of the work directory is looked at by its handle: a whiteout is a deletion; what has
overlayfs's own note of where it came from is a copy; all else was created. Attributes of a directory are not
told where the same process just brought something into it; and those of a directory that was copied up are, where
nothing was done in it.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from outrider_sidecar.linux import fanotify
from outrider_sidecar.linux.fanotify import Fid, RawEvent
from outrider_sidecar.sensors.host.dirtable import DirectoryTable, Node
from outrider_wire.events import FileChange

MASK: Final = fanotify.CREATE | fanotify.DELETE | fanotify.RENAME | fanotify.ATTRIB | fanotify.ONDIR

MAX_COPYING: Final = 4_096
"""Most files remembered that are being copied up; past that the oldest is taken for one that never got a name."""
MAX_WHITEOUTS: Final = 64
"""Most inodes remembered to be whiteouts: one for each overlay, links of it for 65,000 names."""
MAX_ENDED: Final = 1_024
"""Most deleted directories kept: what happened in them may come later than their end."""
PARTNER_WITHIN: Final = 4
"""How many events the second half of an exchange may be behind the first."""

What = Literal["whiteout", "copy", "made", "gone"]
Inspect = Callable[[bytes], What]
"""What the file of a handle is: a whiteout, a copy-up, anything else; or gone."""


class Named(NamedTuple):
    """What happened to one name in one container."""

    pid: int
    change: FileChange
    mnt_ns: int
    path: bytes


class NameReader:
    """Reads the events of one file system."""

    def __init__(self, table: DirectoryTable, inspect: Inspect) -> None:
        self._table = table
        self._inspect = inspect
        self._copying: OrderedDict[bytes, None] = OrderedDict()
        self._whiteouts: OrderedDict[bytes, None] = OrderedDict()
        self._waiting: list[RawEvent] = []
        self._told: list[Named] = []
        self._attributes: list[tuple[int, int, Node]] = []
        self._busy: set[tuple[int, Node]] = set()
        self._copied: dict[tuple[int, Node], None] = {}
        self._at_end: list[tuple[int, Node, bytes]] = []
        self._ended: deque[bytes] = deque()
        self._unplaced: list[int] = []

    @property
    def is_waiting(self) -> bool:
        """Whether an event waits for its other half: `read` is to be called again, with or without events."""
        return bool(self._waiting)

    def take_unplaced(self) -> list[int]:
        """The pids of events whose directory was gone and never known, since the last call."""
        unplaced, self._unplaced = self._unplaced, []
        return unplaced

    def forget(self) -> None:
        """Events were lost."""
        self._copying.clear()
        self._waiting.clear()
        self._ended.clear()
        self._table.forget()

    def know_whiteout(self, handle: bytes) -> None:
        """A whiteout was met elsewhere."""
        _remember(self._whiteouts, handle, MAX_WHITEOUTS)

    def read(self, events: Sequence[RawEvent]) -> list[Named]:
        """What a run of events comes to, in its order."""
        again = len(self._waiting)
        events, self._waiting = [*self._waiting, *events], []
        self._told, self._attributes, self._busy, self._at_end, self._copied = [], [], set(), [], {}
        done: set[int] = set()
        for number, event in enumerate(events):
            if number in done:
                continue
            if event.mask & fanotify.RENAME:
                partner = self._partner(events, number)
                if partner is None and number >= again and self._may_be_half(events, number):
                    self._waiting.append(event)
                    continue
                if partner is not None:
                    done.add(partner)
                self._rename(event, events[partner] if partner is not None else None)
            else:
                self._plain(event)
        told = self._with_attributes()
        for pid, node in self._copied:  # copied up, and nothing was done in it: so it was for its own sake
            self._tell_own_attributes(pid, node, len(told))
        for pid, parent, name in reversed(self._at_end):
            self._tell(pid, "deleted", parent, name)
        return told

    def _partner(self, events: Sequence[RawEvent], number: int) -> int | None:
        """The other half of an exchange, where this is the first."""
        event = events[number]
        old, new = _fid(event, fanotify.INFO_OLD_DFID_NAME), _fid(event, fanotify.INFO_NEW_DFID_NAME)
        for at in range(number + 1, min(number + 1 + PARTNER_WITHIN, len(events))):
            other = events[at]
            if other.pid == event.pid and other.mask & fanotify.RENAME:
                back = _fid(other, fanotify.INFO_OLD_DFID_NAME), _fid(other, fanotify.INFO_NEW_DFID_NAME)
                return at if _same(back[0], new) and _same(back[1], old) else None
        return None

    def _may_be_half(self, events: Sequence[RawEvent], number: int) -> bool:
        """Whether the other half may not have been queued yet: a directory out of the work directory, told last."""
        event = events[number]
        if number + 1 < len(events) or not event.mask & fanotify.ONDIR:
            return False
        old = _fid(event, fanotify.INFO_OLD_DFID_NAME)
        node = self._table.find(old.handle) if old else None
        return node is not None and self._is_work(node)

    def _plain(self, event: RawEvent) -> None:
        where, target = _fid(event, fanotify.INFO_DFID_NAME), _fid(event, fanotify.INFO_FID)
        if where is None:
            return  # about an inode alone: the count of its links, told by the event of its name
        handle = target.handle if target else b""
        is_dir = bool(event.mask & fanotify.ONDIR)
        parent = self._table.find(where.handle)
        if parent is None:
            self._outside(event, where, handle)
        elif where.name == b"." and not self._is_work(parent):
            self._attributes.append((len(self._told), event.pid, parent))
        elif self._is_work(parent):
            self._in_work(event, parent, where.name, handle, is_dir=is_dir)
        else:
            self._in_place(event, parent, where.name, handle, is_dir=is_dir)

    def _outside(self, event: RawEvent, where: Fid, handle: bytes) -> None:
        if not self._table.is_elsewhere(where.handle):
            self._unplaced.append(event.pid)
        elif event.mask & fanotify.ONDIR and event.mask & fanotify.CREATE and handle:
            self._table.note_elsewhere(handle)

    def _in_work(self, event: RawEvent, parent: Node, name: bytes, handle: bytes, *, is_dir: bool) -> None:
        if is_dir:
            self._follow(event, parent, name, handle)
        elif event.mask & fanotify.ATTRIB and handle:
            _remember(self._copying, handle, MAX_COPYING)

    def _follow(self, event: RawEvent, parent: Node, name: bytes, handle: bytes) -> None:
        if event.mask & fanotify.CREATE:
            self._table.learn(parent, name, handle)
        if event.mask & fanotify.DELETE:
            self._ended.append(handle)
            if len(self._ended) > MAX_ENDED:
                self._table.remove(self._ended.popleft())

    def _in_place(self, event: RawEvent, parent: Node, name: bytes, handle: bytes, *, is_dir: bool) -> None:
        mask = event.mask
        self._copied.pop((event.pid, parent), None)
        if mask & fanotify.CREATE:
            if handle in self._copying:
                del self._copying[handle]
                self._busy.add((event.pid, parent))
            else:
                self._tell(event.pid, "created", parent, name)
                mask &= ~fanotify.ATTRIB  # of what was just made: no news
        if mask & fanotify.ATTRIB:
            self._tell(event.pid, "attributes", parent, name)
        if is_dir:
            self._follow(event, parent, name, handle)
        if is_dir and mask & fanotify.CREATE and mask & fanotify.DELETE:
            self._at_end.append((event.pid, parent, name))
        elif mask & fanotify.DELETE and handle not in self._whiteouts:
            self._tell(event.pid, "deleted", parent, name)

    def _rename(self, event: RawEvent, back: RawEvent | None) -> None:
        old, new = _fid(event, fanotify.INFO_OLD_DFID_NAME), _fid(event, fanotify.INFO_NEW_DFID_NAME)
        target = _fid(event, fanotify.INFO_FID)
        if old is None or new is None or target is None:
            return
        source, goal = self._table.find(old.handle), self._table.find(new.handle)
        if goal is not None:
            self._busy.add((event.pid, goal))
            self._copied.pop((event.pid, goal), None)
        is_copy = source is not None and self._is_work(source)
        if is_copy:
            self._out_of_work(event, back, goal, new.name, target.handle)
        elif goal is not None and self._is_work(goal):
            self._tell_gone(event, "deleted", source, old.name)
        else:
            self._moved(event, back, source, goal)
        self._move(event)
        if back is not None:
            self._move(back)
        elif event.mask & fanotify.ONDIR and (moved := self._table.find(target.handle)) is not None:
            self._busy.add((event.pid, moved))
            if is_copy:
                self._copied[event.pid, moved] = None

    def _move(self, event: RawEvent) -> None:
        """Let the table follow a renamed directory."""
        new, target = _fid(event, fanotify.INFO_NEW_DFID_NAME), _fid(event, fanotify.INFO_FID)
        if event.mask & fanotify.ONDIR and new is not None and target is not None:
            self._table.move(target.handle, self._table.find(new.handle), new.name)

    def _out_of_work(
        self, event: RawEvent, back: RawEvent | None, goal: Node | None, name: bytes, handle: bytes
    ) -> None:
        if goal is None or self._is_work(goal):
            return
        came_dir = bool(event.mask & fanotify.ONDIR)
        went_dir = back is not None and bool(back.mask & fanotify.ONDIR)
        self._copying.pop(handle, None)
        if came_dir:
            if back is not None and not went_dir:
                self._tell(event.pid, "created", goal, name)
            return  # copied up, or an empty one to take a full one's place
        what = self._look(handle)
        if went_dir or what == "whiteout":
            self._tell(event.pid, "deleted", goal, name)
        elif what != "copy":
            self._tell(event.pid, "created", goal, name)

    def _moved(self, event: RawEvent, back: RawEvent | None, source: Node | None, goal: Node | None) -> None:
        if back is None:
            self._tell_move(event, source, goal)
            return
        for half, before, after in ((event, source, goal), (back, goal, source)):
            if not self._is_whiteout(half):
                self._tell_move(half, before, after)

    def _is_whiteout(self, event: RawEvent) -> bool:
        target = _fid(event, fanotify.INFO_FID)
        return target is not None and not event.mask & fanotify.ONDIR and self._look(target.handle) == "whiteout"

    def _tell_move(self, event: RawEvent, source: Node | None, goal: Node | None) -> None:
        old, new = _fid(event, fanotify.INFO_OLD_DFID_NAME), _fid(event, fanotify.INFO_NEW_DFID_NAME)
        if old is not None and source is not None:
            self._tell_gone(event, "moved_out", source, old.name)
        if new is not None and goal is not None:
            self._tell(event.pid, "moved_in", goal, new.name)

    def _tell_gone(self, event: RawEvent, change: FileChange, parent: Node | None, name: bytes) -> None:
        if parent is not None:
            self._tell(event.pid, change, parent, name)

    def _look(self, handle: bytes) -> What:
        if handle in self._whiteouts:
            self._whiteouts.move_to_end(handle)
            return "whiteout"
        what = self._inspect(handle)
        if what == "whiteout":
            _remember(self._whiteouts, handle, MAX_WHITEOUTS)
        return what

    def _is_work(self, node: Node) -> bool:
        seen = self._table.seen(node)
        return bool(seen) and seen[0].place.work

    def _tell(self, pid: int, change: FileChange, parent: Node, name: bytes) -> None:
        for seen in self._table.seen(parent):
            if not seen.place.work:
                self._told.append(Named(pid, change, seen.place.mnt_ns, seen.path + b"/" + name))

    def _with_attributes(self) -> list[Named]:
        """All that was told, with the changes of directories' own attributes that are nobody else's doing."""
        for at, pid, node in reversed(self._attributes):
            if (pid, node) not in self._busy:
                self._tell_own_attributes(pid, node, at)
        return self._told

    def _tell_own_attributes(self, pid: int, node: Node, at: int) -> None:
        visible = [seen for seen in self._table.seen(node) if not seen.place.work]
        self._told[at:at] = [Named(pid, "attributes", seen.place.mnt_ns, seen.path or b"/") for seen in visible]


def _fid(event: RawEvent, kind: int) -> Fid | None:
    for fid in event.fids:
        if fid.kind == kind:
            return fid
    return None


def _same(one: Fid | None, other: Fid | None) -> bool:
    return one is not None and other is not None and (one.handle, one.name) == (other.handle, other.name)


def _remember(known: OrderedDict[bytes, None], handle: bytes, most: int) -> None:
    known[handle] = None
    if len(known) > most:
        known.popitem(last=False)
