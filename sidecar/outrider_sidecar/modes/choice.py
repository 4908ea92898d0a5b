"""Which mode it is to be: what was asked for, else what this place is made for."""

import os
from typing import Final

from outrider_sidecar.linux import procfs
from outrider_sidecar.modes import Name
from outrider_sidecar.settings import Settings
from outrider_wire.errors import Unavailable

HOST_PID_NS: Final = 0xEFFFFFFC
"""The inode number of the machine's first PID namespace (PROC_PID_INIT_INO in the kernel)."""


def is_on_host() -> bool:
    """Whether we see the machine's own processes: as one of them, or from a container with pidMode host."""
    return procfs.namespace(os.getpid(), "pid") == HOST_PID_NS


def choose_mode(settings: Settings, *, on_host: bool) -> Name:
    """The mode to guard in. Raises Unavailable where a task is to be guarded from outside of it."""
    if settings.mode == "auto":
        return "host" if on_host else "task"
    if settings.mode == "task" and on_host and not settings.guard_host:
        raise Unavailable(
            "this is the machine's own PID namespace, not a task's: every process of the machine would be traced",
            "run it in a task with pidMode task, or with --mode host to guard the containers of this machine",
        )
    return settings.mode
