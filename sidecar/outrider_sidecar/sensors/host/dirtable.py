"""Which directory a file handle stands for: one table for each file system that is watched by names. Pure.

What happens in a directory that is deleted before its events are read could not be placed by asking the kernel: the
handle is stale. So the table follows the events themselves, in their order: a directory that is made is learnt with
its handle, one that is renamed is hung elsewhere with all below it, and paths are put together when asked for.
Only what was there before is asked of the kernel (`locate`), once.

Directories that lie in no place of any container (the file system is the machine's, others work there too) are
remembered by handle alone, so that the next event there costs one look-up.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

MAX_DIRECTORIES: Final = 65_536
"""Most directories kept of one file system, some 25 MiB; past that the table begins anew and asks the kernel."""

MAX_ELSEWHERE: Final = 65_536
"""The same for those outside of every place."""


class Place(NamedTuple):
    """A part of a file system that a container sees at `at` (empty for its root). `work`: overlayfs's own, unseen."""

    mnt_ns: int
    at: bytes
    work: bool = False


class Seen(NamedTuple):
    """A directory as a container sees it."""

    place: Place
    path: bytes


class Node:
    """One directory. `name` of the top is empty."""

    __slots__ = ("children", "handle", "name", "parent", "places", "round", "seen")

    def __init__(self, parent: "Node | None", name: bytes) -> None:
        self.parent = parent
        self.name = name
        self.handle = b""
        self.children: dict[bytes, Node] = {}
        self.places: tuple[Place, ...] = ()
        self.round = -1
        self.seen: tuple[Seen, ...] = ()


ELSEWHERE: Final = b""
"""The path of what no place of a container shows."""
Locate = Callable[[bytes], bytes | None]
"""The path of a handle by now, by the file system; ELSEWHERE perhaps where it lies in no place, None where it is gone.
"""


class DirectoryTable:
    """The directories of one file system, as far as they lie in places."""

    def __init__(self, locate: Locate, *, max_directories: int = MAX_DIRECTORIES) -> None:
        self._locate = locate
        self._max = max_directories
        self._top = Node(None, b"")
        self._by_handle: dict[bytes, Node] = {}
        self._elsewhere: set[bytes] = set()
        self._places: dict[bytes, tuple[Place, ...]] = {}
        self._count = 0
        self._round = 0

    @property
    def directories(self) -> int:
        return len(self._by_handle)

    def add_place(self, path: bytes, place: Place) -> None:
        """A container sees what lies at `path` of the file system."""
        known = self._places.get(path, ())
        if place not in known:
            self._places[path] = (*known, place)
            self._changed()

    def remove_places(self, mnt_ns: int) -> None:
        """A container is gone."""
        for path, places in list(self._places.items()):
            left = tuple(place for place in places if place.mnt_ns != mnt_ns)
            if left:
                self._places[path] = left
            else:
                del self._places[path]
                self._cut(self._walk(path))
        self._changed()

    def _changed(self) -> None:
        self._elsewhere.clear()
        self._round += 1
        for path, places in self._places.items():
            self._walk(path).places = places

    @property
    def is_empty(self) -> bool:
        return not self._places

    def forget(self) -> None:
        """Know nothing but the places: events were lost, or there is too much."""
        self._top = Node(None, b"")
        self._by_handle.clear()
        self._count = 0
        self._changed()

    def find(self, handle: bytes) -> Node | None:
        """The directory of a handle; None where it lies in no place, or nothing leads to it any more."""
        node = self._by_handle.get(handle)
        if node is not None or handle in self._elsewhere:
            return node
        path = self._locate(handle)
        if path is None:
            return None
        if path == ELSEWHERE or not self._in_place(path):
            self.note_elsewhere(handle)
            return None
        node = self._walk(path)
        self._name(node, handle)
        return node

    def seed(self, path: bytes, handle: bytes) -> None:
        """A directory of a place was met."""
        if self._count < self._max:
            self._name(self._walk(path), handle)

    def is_elsewhere(self, handle: bytes) -> bool:
        """Whether a directory is known to lie in no place."""
        return handle in self._elsewhere

    def note_elsewhere(self, handle: bytes) -> None:
        """Remember that a directory lies in no place."""
        if len(self._elsewhere) >= MAX_ELSEWHERE:
            self._elsewhere.clear()
        self._elsewhere.add(handle)

    def learn(self, parent: Node, name: bytes, handle: bytes) -> Node:
        """A directory was made."""
        if self._count >= self._max:
            path = self._path(parent)
            self.forget()
            parent = self._walk(path)
        node = self._hang(Node(None, name), parent, name)
        self._count += 1
        self._elsewhere.discard(handle)
        self._name(node, handle)
        return node

    def move(self, handle: bytes, parent: Node | None, name: bytes) -> None:
        """A directory was renamed; `parent` None: to outside of every place."""
        node = self._by_handle.get(handle)
        self._round += 1
        if parent is None:
            if node is not None:
                self._cut(node)
            self.note_elsewhere(handle)
        elif node is None:
            self._elsewhere.clear()  # what came with it is in a place now
            self.learn(parent, name, handle)
        else:
            self._unhang(node)
            self._hang(node, parent, name)

    def remove(self, handle: bytes) -> None:
        """A directory was deleted."""
        node = self._by_handle.get(handle)
        if node is not None:
            self._cut(node)
        self._elsewhere.discard(handle)

    def seen(self, node: Node) -> tuple[Seen, ...]:
        """A directory as each container sees it, the innermost place first."""
        if node.round != self._round:
            node.seen = tuple(self._see(node))
            node.round = self._round
        return node.seen

    def _see(self, node: Node) -> Iterator[Seen]:
        names: list[bytes] = []
        here: Node | None = node
        while here is not None:
            for place in here.places:
                yield Seen(place, place.at + b"".join(b"/" + name for name in reversed(names)))
            names.append(here.name)
            here = here.parent

    def _path(self, node: Node) -> bytes:
        names: list[bytes] = []
        here: Node | None = node
        while here is not None and here.parent is not None:
            names.append(here.name)
            here = here.parent
        return b"/" + b"/".join(reversed(names))

    def _in_place(self, path: bytes) -> bool:
        if path in self._places:
            return True
        here, in_place = self._top, bool(self._top.places)
        for name in path.strip(b"/").split(b"/"):
            below = here.children.get(name)
            if in_place or below is None:
                break
            here, in_place = below, bool(below.places)
        return in_place

    def _walk(self, path: bytes) -> Node:
        here = self._top
        for name in filter(None, path.split(b"/")):
            below = here.children.get(name)
            if below is None:
                below = self._hang(Node(None, name), here, name)
                self._count += 1
            here = below
        return here

    def _name(self, node: Node, handle: bytes) -> None:
        if node.handle:
            self._by_handle.pop(node.handle, None)
        node.handle = handle
        self._by_handle[handle] = node

    def _hang(self, node: Node, parent: Node, name: bytes) -> Node:
        before = parent.children.get(name)
        if before is not None and before is not node:
            self._cut(before)
        node.parent, node.name = parent, name
        parent.children[name] = node
        return node

    def _unhang(self, node: Node) -> None:
        if node.parent is not None and node.parent.children.get(node.name) is node:
            del node.parent.children[node.name]

    def _cut(self, node: Node) -> None:
        """Forget a directory and all below it; a place among them stays one, by its path."""
        self._unhang(node)
        todo = [node]
        while todo:
            here = todo.pop()
            self._count -= 1
            self._by_handle.pop(here.handle, None)
            todo.extend(here.children.values())
