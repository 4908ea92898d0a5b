"""Finding the upper directory of a container's overlay, which is named in somebody else's mount namespace.

The options of an overlay name its directories as its mounter saw them. That is the machine's first namespace as a
rule; with docker in docker and in the lab it is that of an ancestor of the container's first process. So each is
tried, and what is found under that name is believed only where it has the times and the mode of the container's
root, which overlayfs passes on from the upper directory.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from outrider_sidecar.linux.procfs import PROC, read_stat
from outrider_sidecar.linux.rooted import open_beneath
from outrider_sidecar.sensors.host.mounts import Mount
from outrider_wire.errors import ProcessGone, Unavailable

MAX_ANCESTORS: Final = 32
TRIES: Final = 3
"""A root that changes between two looks is looked at again."""
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY


class Layers(NamedTuple):
    """The upper and the work directory of an overlay, by the root (`/proc/PID/root`) under which they are found."""

    root: str
    upper: bytes
    work: bytes


@contextmanager
def opened_at(root: str, path: bytes) -> Iterator[int]:
    """A descriptor of a directory below somebody's root. Raises OSError."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = open_beneath(root_fd, path, _DIRECTORY)
    finally:
        os.close(root_fd)
    try:
        yield fd
    finally:
        os.close(fd)


def find_layers(pid: int, overlay: Mount, root_fd: int, *, proc: Path = PROC) -> Layers:
    """Where the layers of a container's root are. Raises Unavailable."""
    upper, work = overlay.option(b"upperdir"), overlay.option(b"workdir")
    if not upper:
        raise Unavailable("its root is an overlay without an upper directory", "mount it with one")
    for root in roots_near(pid, proc=proc):
        for _ in range(TRIES):
            if _is_upper(root, upper, root_fd):
                return Layers(root, upper, work)
    reason = f"the upper directory of its overlay, {os.fsdecode(upper)!r}, is in no namespace known here"
    raise Unavailable(reason, "run where the container runtime runs")


def _is_upper(root: str, upper: bytes, root_fd: int) -> bool:
    try:
        with opened_at(root, upper) as fd:
            return _looks(os.fstat(fd)) == _looks(os.fstat(root_fd))
    except OSError:
        return False


def _looks(status: os.stat_result) -> tuple[int, ...]:
    mode = stat.S_IMODE(status.st_mode)
    return status.st_ctime_ns, status.st_mtime_ns, mode, status.st_uid, status.st_gid


def roots_near(pid: int, *, proc: Path = PROC) -> Iterator[str]:
    """Our own root, the first process's, and those of the ancestors, each mount namespace once."""
    met: set[int] = set()
    for name in ("self", "1", *map(str, _ancestors(pid, proc))):
        try:
            mnt_ns = os.stat(f"{proc}/{name}/ns/mnt").st_ino
        except OSError:
            continue
        if mnt_ns not in met:
            met.add(mnt_ns)
            yield f"{proc}/{name}/root"


def _ancestors(pid: int, proc: Path) -> Iterator[int]:
    for _ in range(MAX_ANCESTORS):
        try:
            pid = read_stat(pid, proc=proc).ppid
        except (ProcessGone, Unavailable, ValueError):
            return
        if not pid:
            return
        yield pid
