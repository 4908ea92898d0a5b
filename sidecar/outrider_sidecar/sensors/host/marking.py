"""Which marks a container's mounts get, and where its files lie by name.

The opens group marks the whole file system of the container's root and of its own tmpfs mounts, so that nothing that
leads there is missed, and only the mount where a file system is shared with the machine (volumes, bound files). The
names group marks the file systems under them: that of the upper directory, of volumes, its own tmpfs.

A container whose root cannot be had by names is left to inotify as a whole. Of a mount besides it that cannot, it is
told that it is not watched.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from outrider_sidecar.linux import fanotify
from outrider_sidecar.linux.fanotify import Fanotify
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.linux.rooted import open_beneath, opened_root
from outrider_sidecar.sensors.host import names, opens
from outrider_sidecar.sensors.host.containers import Marked
from outrider_sidecar.sensors.host.dirtable import Place
from outrider_sidecar.sensors.host.filesystems import FileSystem, Opened, Way, fsid_of, mount_of
from outrider_sidecar.sensors.host.found import Ground
from outrider_sidecar.sensors.host.mounts import Mount, parse_mountinfo, place_on_file_system, with_files
from outrider_sidecar.sensors.host.uppers import find_layers, opened_at, roots_near
from outrider_wire.errors import ProcessGone, Unavailable

DEVICES: Final = b"/dev"
"""Everybody writes to /dev/null all the time: who closed what there is not asked for."""

MAX_MOUNTS: Final = 256
"""Most mounts of one container that are marked."""


class Marker:
    """Sets the marks. `file_systems` are those marked by names, as fanotify calls them."""

    def __init__(self, opens_group: Fanotify, names_group: Fanotify, *, proc: Path = PROC) -> None:
        self._opens = opens_group
        self._names = names_group
        self._proc = proc
        self.file_systems: dict[bytes, FileSystem] = {}

    def mark(self, container: Marked) -> tuple[list[Ground], dict[bytes, str]]:
        """Mark a container; where its files lie, and which of its mounts are not watched by names, and why.

        Raises Unavailable where its root cannot be watched by names (its execs and reads are seen all the same),
        ProcessGone.
        """
        with opened_root(container.pid, container.mnt_ns, proc=self._proc) as root_fd:
            mounts = self._mounts_of(str(container.pid))
            container.mount_ids = frozenset(mount.id for mount in mounts)
            container.prefix = os.readlink(b"/proc/self/fd/%d" % root_fd).rstrip(b"/")
            shown = with_files(mounts)[:MAX_MOUNTS]
            if not shown or shown[0].at != b"/":
                raise Unavailable("its root is no mount of a known kind", "report this kind of container")
            shared = self._shared_devices()
            for mount in shown:
                self._mark_opens(root_fd, mount, shared)
            grounds = [self._mark_root(container, shown[0], root_fd)]
            unwatched: dict[bytes, str] = {}
            for mount in shown[1:]:
                try:
                    grounds += self._mark_mount(container, mount, root_fd)
                except OSError as error:
                    unwatched[mount.at] = os.strerror(error.errno or 0)
            return grounds, unwatched

    def unmark(self, container: Marked) -> None:
        """Forget a container, and the file systems that nobody else uses."""
        for fsid, file_system in list(self.file_systems.items()):
            try:
                way = file_system.any_way()
                if file_system.remove(container.mnt_ns):
                    del self.file_systems[fsid]
                    with way() as fd:
                        self._names.unmark_descriptor(fd, names.MASK, fanotify.MARK_FILESYSTEM)
            except OSError:
                continue  # the file system is gone, and the mark with it
            finally:
                file_system.end_turn()

    def _mounts_of(self, pid: str) -> list[Mount]:
        try:
            return parse_mountinfo(Path(f"{self._proc}/{pid}/mountinfo").read_bytes())
        except (OSError, ValueError) as error:
            raise ProcessGone(f"the mounts of process {pid} cannot be read") from error

    def _shared_devices(self) -> set[bytes]:
        return {mount.device for pid in ("1", "self") for mount in self._mounts_of(pid)}

    def _mark_opens(self, root_fd: int, mount: Mount, shared: set[bytes]) -> None:
        is_own = mount.at == b"/" or (mount.kind == b"tmpfs" and mount.root == b"/" and mount.device not in shared)
        kind = fanotify.MARK_FILESYSTEM if is_own and mount.device not in shared else fanotify.MARK_MOUNT
        mask = fanotify.OPEN_EXEC if mount.at == DEVICES else opens.MASK
        try:
            fd = open_beneath(root_fd, mount.at, os.O_PATH)
        except OSError:
            return  # hidden under another mount
        try:
            self._opens.mark_descriptor(fd, mask, kind)
        except OSError as error:
            if mount.at == b"/":
                raise Unavailable(f"its root takes no mark: {error}", "use Linux 5.17 or later") from error
        finally:
            os.close(fd)

    def _mark_root(self, container: Marked, root: Mount, root_fd: int) -> Ground:
        try:
            if root.kind != b"overlay":
                (ground,) = self._mark_mount(container, root, root_fd)
                return ground
            layers = find_layers(container.pid, root, root_fd, proc=self._proc)
            work, upper = [self._way_below(layers.root, name) for name in (layers.work, layers.upper)]
            for way in (work, upper):
                file_system = self._mark_names(container, way)
            with work.open() as work_fd:
                work_path = file_system.path_of(work_fd)
            if work_path is not None:
                file_system.table.add_place(work_path, Place(container.mnt_ns, b"", work=True))
            return self._show(container, file_system, b"", upper.open)
        except (OSError, ValueError) as error:
            raise Unavailable(f"its file system takes no mark: {error}", "use ext4, xfs or tmpfs") from error

    def _mark_mount(self, container: Marked, mount: Mount, root_fd: int) -> list[Ground]:
        """Nothing for a file that is bound: its writers are seen through the mount, and its name cannot change."""
        try:
            fd = open_beneath(root_fd, mount.at, os.O_PATH)
        except OSError:
            return []  # hidden under another mount
        is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        os.close(fd)
        if not is_directory:
            return []
        way = partial(_through_container, container, mount.at, self._proc)
        file_system = self._mark_names(container, Way(way, mount.root))
        return [self._show(container, file_system, mount.at.rstrip(b"/"), way)]

    def _mark_names(self, container: Marked, way: Way) -> FileSystem:
        with way.open() as fd:
            self._names.mark_descriptor(fd, names.MASK, fanotify.MARK_FILESYSTEM)
            fsid = fsid_of(fd)
            if fsid not in self.file_systems:
                self.file_systems[fsid] = FileSystem(self._find_whole(fd, container.pid))
        file_system = self.file_systems[fsid]
        file_system.add_way(container.mnt_ns, way.path, way)
        return file_system

    def _way_below(self, root: str, name: bytes) -> Way:
        """The way to a directory below somebody's root. Raises OSError where it cannot be said where that lies."""
        way = partial(opened_at, root, name)
        with way() as fd:
            shown = os.readlink(b"/proc/self/fd/%d" % fd)
            path = place_on_file_system(self._mounts_below(root), mount_of(fd), shown)
        if path is None:
            raise OSError(errno.ESTALE, "its place on its file system is not known")
        return Way(way, path)

    def _find_whole(self, fd: int, pid: int) -> Way | None:
        """A mount that shows all of the file system of a descriptor, in a namespace near a process."""
        status = os.fstat(fd)
        device = b"%d:%d" % (os.major(status.st_dev), os.minor(status.st_dev))
        for root in roots_near(pid, proc=self._proc):
            for mount in self._mounts_below(root):
                if mount.device == device and mount.root == b"/" and (way := _whole_by(root, mount)) is not None:
                    return way
        return None

    def _mounts_below(self, root: str) -> list[Mount]:
        try:
            return parse_mountinfo(Path(root).with_name("mountinfo").read_bytes())
        except (OSError, ValueError):
            return []

    def _show(self, container: Marked, file_system: FileSystem, at: bytes, way: Opened) -> Ground:
        with way() as fd:
            path = file_system.path_of(fd)
        if path is None:
            raise OSError(95, "its handles cannot be decoded")
        file_system.table.add_place(path, Place(container.mnt_ns, at))
        return Ground(way, at, path.rstrip(b"/"), file_system)


def _whole_by(root: str, mount: Mount) -> Way | None:
    """The way through a mount, where no other hides it."""
    way = partial(opened_at, root, mount.at)
    try:
        with way() as fd:
            return Way(way, mount.root) if mount_of(fd) == mount.id else None
    except OSError:
        return None


@contextmanager
def _through_container(container: Marked, at: bytes, proc: Path) -> Iterator[int]:
    """A directory of a container, by whichever process of it is known to live. Raises OSError."""
    try:
        root: AbstractContextManager[int] = opened_root(container.pid, container.mnt_ns, proc=proc)
        with root as root_fd:
            fd = open_beneath(root_fd, at, os.O_RDONLY | os.O_DIRECTORY)
    except (ProcessGone, Unavailable) as error:
        raise OSError(3, str(error)) from error
    try:
        yield fd
    finally:
        os.close(fd)
