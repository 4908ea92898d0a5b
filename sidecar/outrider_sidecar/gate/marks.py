"""Which file systems of a container the gate is asked about: those that its programs can be started from.

The root is an overlay of the container's own and is covered whole, through every mount. Everything else (volumes, bind
mounts, tmpfs) is covered mount by mount: its file system may be the machine's, and the machine is not to be asked
about. Where a file system may take for ever to open a file for the gate (network, FUSE), it is left out and counted:
opening it is what the kernel does before it asks.
"""

import os
from collections import deque
from pathlib import Path
from typing import Final

from outrider_sidecar.decode.mountinfo import Mount, parse_mounts
from outrider_sidecar.gate.records import Guarded
from outrider_sidecar.linux.permission import ExecPermission
from outrider_sidecar.linux.procfs import PROC, read_bytes, read_whole, reading
from outrider_sidecar.linux.rooted import open_beneath, opened_root
from outrider_wire.errors import ProcessGone, Unavailable

KINDS: Final = frozenset(("overlay", "tmpfs", "ramfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "aufs"))
"""File systems that hold programs and answer at once."""
WITHOUT_PROGRAMS: Final = frozenset(
    (
        *("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "nsfs", "bpf", "tracefs", "debugfs", "securityfs"),
        *("pstore", "configfs", "hugetlbfs", "binfmt_misc", "efivarfs", "autofs", "rpc_pipefs", "devtmpfs"),
    )
)
MAX_MOUNTS: Final = 64
"""Most mounts covered in one container."""
MAX_MOUNTINFO_BYTES: Final = 256 * 1024


class Marks:
    """The containers that are covered."""

    def __init__(self, group: ExecPermission, *, proc: Path = PROC) -> None:
        self._group = group
        self._proc = proc
        self._baselines: dict[int, int] = {}
        self._seen: dict[int, bytes] = {}
        self._uncovered: dict[int, int] = {}
        self._oldest_ns = 0
        self._waiting: deque[Guarded] = deque()

    def __len__(self) -> int:
        """How many containers are covered."""
        return len(self._seen)

    @property
    def uncovered(self) -> int:
        """Mounts that hold programs, perhaps, and are not asked about."""
        return sum(self._uncovered.values())

    def baseline_ns(self, mnt_ns: int) -> int | None:
        """From when on files are new in the container of a mount namespace; None for one that is not guarded."""
        return self._baselines.get(mnt_ns)

    def is_old_everywhere(self, ctime_ns: int) -> bool:
        """Whether a file that changed last at that time is old in every container that is guarded."""
        return ctime_ns < self._oldest_ns

    def keep(self, roster: list[Guarded]) -> None:
        """Guard these containers and no others; `cover_next` covers them. Marks of those gone went with them."""
        oldest_before_ns = self._oldest_ns
        before, self._baselines = self._baselines, {g.mnt_ns: g.baseline_ns for g in roster if g.mnt_ns}
        self._oldest_ns = min(self._baselines.values(), default=0)
        for mnt_ns in before.keys() - self._baselines.keys():
            self._seen.pop(mnt_ns, None)
            self._uncovered.pop(mnt_ns, None)
        if before and self._oldest_ns < oldest_before_ns:
            self._group.mind_all()  # what was old in every container need not be so in this one
        self._waiting = deque(sorted(roster, key=lambda guarded: guarded.mnt_ns in self._seen))

    @property
    def has_more(self) -> bool:
        """Whether `cover_next` has something to do."""
        return bool(self._waiting)

    def cover_next(self) -> None:
        """Look at one container of the roster, those not seen yet first: somebody may be waiting for an answer."""
        if self._waiting:
            self._cover(self._waiting.popleft())

    def _cover(self, guarded: Guarded) -> None:
        try:
            with opened_root(guarded.pid, guarded.mnt_ns, proc=self._proc) as root, reading(guarded.pid):
                raw = read_whole(f"{self._proc}/{guarded.pid}/mountinfo", limit=MAX_MOUNTINFO_BYTES)
                if raw != self._seen.get(guarded.mnt_ns):
                    self._seen[guarded.mnt_ns] = raw
                    self._uncovered[guarded.mnt_ns] = self._cover_mounts(root, raw)
        except (ProcessGone, Unavailable, OSError, ValueError):
            self._seen.pop(guarded.mnt_ns, None)  # another of its processes will be named by the next roster

    def _cover_mounts(self, root: int, raw: bytes) -> int:
        """Cover what can be; how many could not."""
        mounts = [mount for mount in parse_mounts(raw) if mount.kind not in WITHOUT_PROGRAMS]
        good = [mount for mount in mounts if mount.kind in KINDS][:MAX_MOUNTS]
        return len(mounts) - sum(self._covers(root, mount) for mount in good)

    def _covers(self, root: int, mount: Mount) -> bool:
        try:
            fd = open_beneath(root, os.fsencode(mount.destination), os.O_PATH)
        except OSError:
            return False
        try:
            if not _is_of_mount(fd, mount.number):
                return False
            if mount.destination == "/" and mount.kind == "overlay":
                self._group.cover_filesystem(fd)
            else:
                self._group.cover_mount(fd)
        except OSError:
            return False
        finally:
            os.close(fd)
        return True


def _is_of_mount(fd: int, number: int) -> bool:
    """Whether it was opened through that very mount, not through what lies over it or came in its place."""
    return b"mnt_id:\t%d\n" % number in read_bytes(f"/proc/self/fdinfo/{fd}", limit=1024)
