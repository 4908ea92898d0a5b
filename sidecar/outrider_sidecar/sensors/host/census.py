"""Which mount namespaces are containers, and who is counted in each.

A process is in a container when its mount namespace is not the machine's own and its cgroup path holds a container's
id. A systemd service with mounts of its own is no container: it has no such id. Once a namespace is known to be a
container's, whoever enters it is in that container, whatever cgroup he came from.

A runtime's process that is on its way into a container has the container's cgroup already and the runtime's mount
namespace still. That is the machine's own, or where the runtime has mounts of its own, one with the machine's root:
no container has that.

Inode numbers of namespaces are used again, so a container is forgotten with its last process, and that a namespace is
no container's is never remembered, but of the machine's and our own.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.procfs import PROC, read_bytes
from outrider_wire.text import clean_text

KTHREADD: Final = 2
"""The kernel's own threads are in the machine's mount namespace, too, and whoever may not read init may read them."""
NEAR_NS: Final = 20_000_000
"""What an exec opens, it opens this near to its message."""


class Census:
    """The containers that have a process now."""

    def __init__(self, container_of: Callable[[str], str], *, proc: Path = PROC) -> None:
        self._container_of = container_of
        self._proc = proc
        self.host_ns = self.read_namespace(1) or self.read_namespace(KTHREADD)
        own = self.read_namespace(os.getpid())
        self.own_ns = own if own != self.host_ns else 0
        """Ours, where it is not the machine's: Outrider is a container itself, and tells nothing of that one."""
        self._machines_root = self._read_machines_root()
        self._counts: dict[int, int] = {}
        self._watched: dict[int, int] = {}

    def read_namespace(self, pid: int) -> int:
        """The mount namespace of a process, 0 where it cannot be read."""
        try:
            return os.stat(f"{self._proc}/{pid}/ns/mnt").st_ino
        except OSError:
            return 0

    def _read_machines_root(self) -> tuple[int, int]:
        for pid in (1, KTHREADD):
            try:
                root = os.stat(f"{self._proc}/{pid}/root")
                return root.st_dev, root.st_ino
            except OSError:
                continue
        return 0, 0

    def is_container(self, mnt_ns: int, pid: int) -> bool:
        """Whether a mount namespace, read of `pid`, is a container's."""
        if mnt_ns in (0, self.host_ns, self.own_ns):
            return False
        if mnt_ns in self._counts:
            return True
        return bool(self._container_of(self._cgroup(pid))) and not self._has_machines_root(pid)

    def enter(self, mnt_ns: int) -> bool:
        """Count a process in; whether it is the first of its container."""
        count = self._counts.get(mnt_ns, 0)
        self._counts[mnt_ns] = count + 1
        return not count

    def leave(self, mnt_ns: int) -> bool:
        """Count a process out; whether it was the last of its container."""
        count = self._counts.get(mnt_ns, 0) - 1
        if count > 0:
            self._counts[mnt_ns] = count
            return False
        self._watched.pop(mnt_ns, None)
        return self._counts.pop(mnt_ns, None) is not None

    def is_counted(self, mnt_ns: int) -> bool:
        """Whether a mount namespace is known to be a container's, with somebody in it."""
        return mnt_ns in self._counts

    def note_watched(self, mnt_ns: int, now_ns: int) -> None:
        """From now on the file watch tells of what is opened in a container; ns of CLOCK_MONOTONIC."""
        self._watched[mnt_ns] = now_ns

    def saw_opens_of(self, mnt_ns: int, at_ns: int) -> bool:
        """Whether all that an exec opened was seen, whose message is of `at_ns`; not what came before it."""
        return self.saw_opens(mnt_ns, at_ns - NEAR_NS)

    def saw_opens(self, mnt_ns: int, since_ns: int) -> bool:
        """Whether all that was opened in a container since then was seen."""
        watched_ns = self._watched.get(mnt_ns)
        return watched_ns is not None and 0 < watched_ns < since_ns

    def containers(self) -> list[int]:
        """The mount namespaces of all containers."""
        return list(self._counts)

    def _has_machines_root(self, pid: int) -> bool:
        try:
            root = os.stat(f"{self._proc}/{pid}/root")
        except OSError:
            return False
        return (root.st_dev, root.st_ino) == self._machines_root

    def _cgroup(self, pid: int) -> str:
        try:
            return clean_text(read_bytes(f"{self._proc}/{pid}/cgroup", limit=8192), limit=8192)
        except OSError:
            return ""
