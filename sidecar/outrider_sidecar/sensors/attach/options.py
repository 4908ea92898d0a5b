"""What the tracer is asked to do: whom to guard, whom to let go, whom to leave alone."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from outrider_sidecar.linux.execfacts import FindSockets
from outrider_sidecar.linux.procfs import PROC, namespace

RELEASED_PROGRAMS: Final = frozenset(
    {
        "gdb",
        "gdbserver",
        "strace",
        "ltrace",
        "dlv",
        "lldb",
        "lldb-server",
        "lldb-argdumper",
        "rr",
        "valgrind",
        "uftrace",
        "delve",
        "edb",
        "radare2",
        "r2",
        "crashpad_handler",
        "chrome_crashpad_handler",
        "breakpad_handler",
        "createdump",
        "dotnet-dump",
        "jhsdb",
        "py-spy",
        "rbspy",
        "gcore",
        "eu-stack",
        "pstack",
        "proot",
        "fakechroot-ptrace",
        "catchsegv",
    }
)
"""Programs that trace others themselves (last part of the executable's path, without a version suffix)."""


class Scope(Protocol):
    """Whose processes are guarded. Only processes that nobody forked under us are asked about.

    `by_descent` says that a child of a process that is not covered is not covered either.
    """

    @property
    def by_descent(self) -> bool: ...

    def covers(self, pid: int, mnt_ns: int, descends_from: Callable[[int], bool], /) -> bool:
        """Whether to guard a process found running; `descends_from` tells of its ancestors."""


class TaskScope(Struct, frozen=True):
    """Every process of the PID namespace but those in the sidecar's own mount namespace."""

    own_mnt_ns: int

    @property
    def by_descent(self) -> bool:
        return False

    @classmethod
    def of_this_process(cls, *, proc: Path = PROC) -> "TaskScope":
        """Raises ProcessGone or Unavailable where /proc is not this process's."""
        return cls(namespace_of_self(proc=proc))

    def covers(self, _pid: int, mnt_ns: int, _descends_from: Callable[[int], bool], /) -> bool:
        """An unreadable namespace (0) belongs to a process that is going, or forbidden: seize decides."""
        return mnt_ns != self.own_mnt_ns


class TreeScope(Struct, frozen=True):
    """One process and its descendants, as far as their ancestry can still be read."""

    root_pid: int

    @property
    def by_descent(self) -> bool:
        return True

    def covers(self, pid: int, _mnt_ns: int, descends_from: Callable[[int], bool], /) -> bool:
        return pid == self.root_pid or descends_from(self.root_pid)


def namespace_of_self(*, proc: Path = PROC) -> int:
    """The mount namespace of the calling process, as an inode number."""
    return namespace(os.getpid(), "mnt", proc=proc)


def nothing_is_off(_mnt_ns: int, _cgroup: str) -> bool | None:
    """The default of `tracing_off`: every container is traced."""
    return False


class TracerOptions(Struct, frozen=True):
    """How to trace.

    `tracing_off` says of a mount namespace and the cgroup text of one of its processes whether that container is
    left untraced; None is not known yet, and asked again each tick. `released_paths` are executables released by
    their whole path. `open_sockets` is called once in the tracer's process. `gated_pid` is a process that waits to
    become the command of `watch`: what it runs before that is us. `sweep_s` is the time between full looks at
    /proc. `record` keeps each framed event. A program whose file changed after `young_ns` (0: since the tracer
    began) is told of before it runs.
    """

    scope: Scope
    tracing_off: Callable[[int, str], bool | None] = nothing_is_off
    released_names: frozenset[str] = RELEASED_PROGRAMS
    released_paths: frozenset[str] = frozenset()
    open_sockets: Callable[[], FindSockets] | None = None
    gated_pid: int = 0
    tick_s: float = 0.02
    sweep_s: float = 5.0
    record: Callable[[bytes], None] | None = None
    young_ns: int = 0
    proc: Path = PROC
