"""Which directory each watch stands for: the bookkeeping of the file watch, without the kernel.

A watch belongs to an inode, so one watch may stand for a directory of several containers (a shared volume), and a
renamed directory keeps its watch under a new name. Paths are therefore kept as parent and name, and put together
when asked for. Within one container an inode has one name here, the one it was first found by.

Only the sensor's thread changes a tree; `sight` and `path` may be read from any.
"""

from collections.abc import Iterator

from msgspec import Struct

from outrider_sidecar.sight import OPEN, Gap, Sight


class GuardedRoot(Struct, eq=False):
    """A container whose files are watched.

    `baseline_ns` is when it was created, 0 where nobody said. `to_scan` counts directories still to be visited,
    `important_to_scan` those among them that are places; `scan_told`: the end of the first scan was told of.
    `unwatched` those that a bound or a refusal left out, `unwatched_told` how many of them were reported.
    `identity` is (device, inode) of its root directory: a process in a chroot does not lead there. `gaps`: when events
    of it may have been lost, each until all of it was gone through again.
    """

    mnt_ns: int
    anchor_pid: int
    baseline_ns: int = 0
    directories: int = 0
    to_scan: int = 0
    important_to_scan: int = 0
    scan_told: bool = False
    unwatched: int = 0
    unwatched_why: str = ""
    unwatched_told: int = 0
    told_ns: int = 0
    reachable: bool = True
    identity: tuple[int, int] | None = None
    gaps: tuple[Gap, ...] = ()
    tops: dict[bytes, "Watched"] = {}


class Watched(Struct, eq=False):
    """One watched directory of one container. `inspected_ns` is when its files were looked at, 0 before.

    `doubted_ns`: since when events of it may have been lost; 0 where its files were looked at since.
    """

    wd: int
    root: GuardedRoot
    parent: "Watched | None"
    name: bytes
    depth: int
    shallow: bool = False
    inspected_ns: int = 0
    doubted_ns: int = 0
    children: "dict[bytes, Watched] | None" = None

    def path(self) -> bytes:
        """The directory as the container sees it."""
        names: list[bytes] = []
        node: Watched | None = self
        while node is not None:
            names.append(node.name)
            node = node.parent
        joined = b"/".join(reversed(names))
        return joined[1:] if joined.startswith(b"//") else joined


class WatchTree:
    """Every watched directory, by watch descriptor and by container."""

    def __init__(self) -> None:
        self.roots: dict[int, GuardedRoot] = {}
        self._by_wd: dict[int, tuple[Watched, ...]] = {}
        self.directories = 0

    def at(self, wd: int) -> tuple[Watched, ...]:
        """The directories that a watch stands for: one, or one of each container that shares it."""
        return self._by_wd.get(wd, ())

    def of_root(self, wd: int, root: GuardedRoot) -> Watched | None:
        return next((node for node in self.at(wd) if node.root is root), None)

    def attach(self, wd: int, root: GuardedRoot, parent: Watched | None, name: bytes) -> Watched:
        """Note that `wd` watches `name` below `parent` (or the absolute path `name`)."""
        depth = parent.depth + 1 if parent else name.count(b"/")
        node = Watched(wd, root, parent, name, depth)
        self._by_wd[wd] = (*self.at(wd), node)
        self._link(node)
        if parent is None:
            self._hang(node)
        root.directories += 1
        self.directories += 1
        return node

    def _hang(self, top: Watched) -> None:
        """Put a place below the watched directory it lies in, so that a rename of it is understood."""
        above, _, name = top.name.rpartition(b"/")
        parent = self._find(top.root, above or b"/")
        if name and parent is not None:
            top.parent, top.name = parent, name
            self._link(top)

    def _link(self, node: Watched) -> None:
        if node.parent is None:
            node.root.tops[node.name] = node
            return
        if node.parent.children is None:
            node.parent.children = {}
        node.parent.children[node.name] = node

    def _unlink(self, node: Watched) -> None:
        siblings = node.parent.children if node.parent else node.root.tops
        if siblings and siblings.get(node.name) is node:
            del siblings[node.name]
        for path in [path for path, top in node.root.tops.items() if top is node]:
            del node.root.tops[path]

    def move(self, node: Watched, parent: Watched, name: bytes) -> None:
        """Give a directory another name, and so all below it."""
        self._unlink(node)
        node.parent, node.name, node.depth = parent, name, parent.depth + 1
        self._link(node)

    def adopt(self, parent: Watched, name: bytes) -> bool:
        """The same for a place that was watched before the directory it lies in; whether there is one."""
        top = parent.root.tops.get(parent.path().rstrip(b"/") + b"/" + name)
        if top is None or top is parent:
            return False
        if top.parent is not None:
            return True
        top.parent, top.name = parent, name
        self._link(top)
        return True

    def of_container(self, root: GuardedRoot) -> list[Watched]:
        """Every watched directory of a container."""
        return [node for top in list(root.tops.values()) if top.parent is None for node in self.below(top)]

    def child(self, node: Watched, name: bytes) -> Watched | None:
        return node.children.get(name) if node.children else None

    def below(self, node: Watched) -> Iterator[Watched]:
        """A directory and every watched one below it."""
        todo = [node]
        while todo:
            here = todo.pop()
            yield here
            todo.extend((here.children or {}).values())

    def drop(self, node: Watched) -> list[int]:
        """Forget a directory and all below it; the watches that stand for nothing any more."""
        idle = []
        self._unlink(node)
        for each in list(self.below(node)):
            left = tuple(other for other in self.at(each.wd) if other is not each)
            if len(left) == len(self.at(each.wd)):
                continue
            each.root.directories -= 1
            self.directories -= 1
            if left:
                self._by_wd[each.wd] = left
            else:
                del self._by_wd[each.wd]
                idle.append(each.wd)
        return idle

    def drop_root(self, root: GuardedRoot) -> list[int]:
        """Forget a container; the watches that stand for nothing any more."""
        if self.roots.get(root.mnt_ns) is root:
            del self.roots[root.mnt_ns]
        mine = [node for nodes in self._by_wd.values() for node in nodes if node.root is root]
        return [wd for node in mine for wd in self.drop(node)]

    def sight(self, mnt_ns: int, directory: bytes) -> Sight | None:
        """When the changes in a directory were seen; None where they are not."""
        root = self.roots.get(mnt_ns)
        node = self._find(root, directory) if root else None
        if root is None or node is None or not node.inspected_ns:
            return None
        gaps = (*root.gaps, Gap(node.doubted_ns, OPEN)) if node.doubted_ns else root.gaps
        return Sight(node.inspected_ns, gaps)

    def _find(self, root: GuardedRoot, directory: bytes) -> Watched | None:
        names: list[bytes] = []
        path = directory.rstrip(b"/") or b"/"
        while path:
            top = root.tops.get(path)
            node = self._descend(top, names[::-1]) if top else None
            if node is not None:
                return node
            path, _, name = path.rpartition(b"/")
            names.append(name)
            path = path or (b"/" if name else b"")
        return None

    def _descend(self, node: Watched | None, names: list[bytes]) -> Watched | None:
        for name in names:
            node = self.child(node, name) if node else None
        return node
