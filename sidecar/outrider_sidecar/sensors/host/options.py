"""What the lookout is asked to do, and the shape of the file watch that it carries."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from outrider_sidecar.decode.cgroups import parse_cgroup
from outrider_sidecar.linux.execfacts import FindSockets
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.sensors import Emit
from outrider_wire.events import FileFacts, ProcessId

BUFFER_BYTES: Final = 32 * 1024 * 1024
"""Of the connector's socket: about 20,000 messages may wait. Taken from the kernel only while they do."""

Identify = Callable[[int], ProcessId | None]
"""Who has or lately had a pid, as far as the lookout follows it; whoever is given out was told of before."""


class Marks(Protocol):
    """The file watch as the lookout uses it: in its thread, and never waiting."""

    def open(self, identify: Identify) -> None:
        """Open the groups, in this process. Raises Unavailable."""

    def filenos(self) -> Sequence[int]:
        """The descriptors that become readable when there is something to drain."""

    def add_container(self, mnt_ns: int, pid: int, baseline_ns: int) -> None:
        """Watch the files of a container, of which `pid` is a process and which began at `baseline_ns`."""

    def remove_container(self, mnt_ns: int) -> None:
        """The last process of that container ended."""

    def drain(self, emit: Emit, meanwhile: Callable[[], None] = ...) -> None:
        """Tell of all that happened so far, and call `meanwhile` now and then, between two files."""

    def opened_by(self, pid: int) -> Sequence[FileFacts]:
        """What a process opened for exec since `forget` was called for it: program, interpreter, dynamic linker."""

    def opened_in(self, pid: int) -> int:
        """The container (mount namespace, 0 for none) in which it opened that."""

    def forget(self, pid: int) -> None:
        """Its exec was told of, or it ended."""


class NoMarks:
    """No file watch: nobody's files are looked at."""

    def open(self, _identify: Identify) -> None:
        pass

    def filenos(self) -> Sequence[int]:
        return ()

    def add_container(self, _mnt_ns: int, _pid: int, _baseline_ns: int) -> None:
        pass

    def remove_container(self, _mnt_ns: int) -> None:
        pass

    def drain(self, _emit: Emit, _meanwhile: Callable[[], None] = lambda: None) -> None:
        pass

    def opened_by(self, _pid: int) -> Sequence[FileFacts]:
        return ()

    def opened_in(self, _pid: int) -> int:
        return 0

    def forget(self, _pid: int) -> None:
        pass


def id_in_cgroup(cgroup: str) -> str:
    """The innermost container's id in the content of /proc/PID/cgroup, or empty."""
    return parse_cgroup(cgroup).container_id


class LookoutOptions(Struct, frozen=True):
    """How to look out.

    `guard_host` says that processes of no container are told of, too. `container_of` gives the id of a container in
    the content of /proc/PID/cgroup, empty for none: who is in none is the host's own. `marks` makes the file watch, in
    the lookout's process; so does `open_sockets` what finds sockets. `record` keeps each framed event. `sweep_s` is
    the time between full looks at /proc, `tick_s` the longest sleep.
    """

    guard_host: bool = False
    container_of: Callable[[str], str] = id_in_cgroup
    marks: Callable[[], Marks] | None = None
    open_sockets: Callable[[], FindSockets] | None = None
    record: Callable[[bytes], None] | None = None
    tick_s: float = 0.1
    sweep_s: float = 5.0
    buffer_bytes: int = BUFFER_BYTES
    proc: Path = PROC
