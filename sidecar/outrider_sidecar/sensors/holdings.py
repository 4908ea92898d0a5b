"""Reading what processes hold open, for stdio lineage: descriptors, sockets, and whose session a connection is."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from outrider_sidecar.linux import procfs
from outrider_sidecar.world.lineage import Held
from outrider_sidecar.world.tree import Process
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import SocketFacts
from outrider_wire.text import clean_text

MAX_DESCRIPTORS: Final = 256
"""Most descriptors read of one process in a look; a process with more is busy, whatever the rest are."""
SESSION_MOUNT: Final = "/managed-agents/execute-command"
"""Where ECS mounts its Exec agent, read-only: its connections are the operator's sessions."""

FindSockets = Callable[[Iterable[int], Iterable[int]], Mapping[int, SocketFacts]]
"""The sockets with these inodes, which these processes hold."""


def look_at(processes: Iterable[Process], find_sockets: FindSockets) -> tuple[list[Held], Mapping[int, SocketFacts]]:
    """What these processes hold now; those that ended meanwhile are left out."""
    held: list[Held] = []
    inodes: set[int] = set()
    holders: list[int] = []
    for process in processes:
        try:
            descriptors = procfs.read_descriptors(process.id.pid, limit=MAX_DESCRIPTORS)
        except (ProcessGone, Unavailable):
            continue
        if sockets := [d.inode for d in descriptors if d.target.startswith("socket:[")]:
            inodes.update(sockets)
            holders.append(process.id.pid)
        exempt = _is_session_agent(process)
        held.append(Held(process.id, descriptors, process.mnt_ns, process.parent, exempt))
    return held, find_sockets(inodes, holders) if inodes else {}


def _is_session_agent(process: Process) -> bool:
    """The program lies on a read-only mount of ECS Exec's agent; root in the container cannot make such a mount."""
    try:
        # not by the record of its start, which may not have been read in time
        path = clean_text(os.readlink(os.fsencode(f"{procfs.PROC}/{process.id.pid}/exe")))
    except OSError:
        return False
    if not path.startswith(SESSION_MOUNT + "/"):
        return False
    try:
        with procfs.reading(process.id.pid):
            table = procfs.read_bytes(f"{procfs.PROC}/{process.id.pid}/mountinfo", limit=1024 * 1024)
    except (ProcessGone, Unavailable):
        return False
    return is_read_only_mount(table, SESSION_MOUNT)


def is_read_only_mount(mountinfo: bytes, place: str) -> bool:
    """Whether proc_pid_mountinfo(5) shows a read-only mount at, or just below, that place."""
    for line in mountinfo.splitlines():
        fields = line.split()
        if len(fields) < 6:
            continue
        point = fields[4].decode("utf-8", "backslashreplace")
        if (point == place or point.startswith(place + "/")) and b"ro" in fields[5].split(b","):
            return True
    return False
