"""Whom the tracer holds: threads by tid, and the process each belongs to. No system call here, but for `forget`.

A process is told of (`announced`) late: its start time is in /proc/PID/stat, which costs as much as three links,
and most processes exec at once and have it read then anyway. `fresh` are those not yet told of.
"""

from collections.abc import Callable

from outrider_wire.events import Descriptor, FileFacts, ProcessId, SocketFacts


class Tracee:
    """One traced process. Mutable, and known to the tracer alone."""

    __slots__ = (
        "announced",
        "exe_dev",
        "exe_inode",
        "exit_descriptors",
        "exit_libraries",
        "exit_sockets",
        "forked_at_ns",
        "mnt_ns",
        "newest_when_seized",
        "parent",
        "parent_process",
        "pid",
        "process",
        "stdio",
        "tids",
    )

    def __init__(self, pid: int, *, parent: "Tracee | None" = None, forked_at_ns: int = 0) -> None:
        self.pid = pid
        self.parent = parent
        self.parent_process: ProcessId | None = None
        self.forked_at_ns = forked_at_ns
        self.process: ProcessId | None = None
        self.announced = False
        self.mnt_ns: int = parent.mnt_ns if parent else 0
        self.newest_when_seized = 0
        self.exe_inode = 0
        self.exe_dev: int = parent.exe_dev if parent else 0
        self.stdio: tuple[Descriptor, ...] = parent.stdio if parent else ()
        self.tids: set[int] | None = None
        self.exit_descriptors: tuple[Descriptor, ...] = ()
        self.exit_sockets: tuple[SocketFacts, ...] = ()
        self.exit_libraries: tuple[FileFacts, ...] = ()

    @property
    def is_multithreaded(self) -> bool:
        return bool(self.tids)


class Table:
    """Every traced thread, and what is remembered of those that just left.

    `early` are children whose first stop was reported before their parent's event, by tid, with the signal of
    that stop; they are held until the event says what they are. `first_options` are ptrace options that a tracee
    gets at its first stop, where they differ from those it inherited. `departed` are pids that left lately, in two
    generations: the finder would take them for strangers. `forget` is called with the pid of each that leaves.
    """

    def __init__(self, forget: Callable[[int], None]) -> None:
        self._forget = forget
        self.by_tid: dict[int, Tracee] = {}
        self.early: dict[int, int] = {}
        self.first_options: dict[int, int] = {}
        self.fresh: dict[int, Tracee] = {}
        self.process_count = 0
        self._departed: set[int] = set()
        self._departed_before: set[int] = set()

    def add_process(self, tracee: Tracee) -> None:
        self.by_tid[tracee.pid] = tracee
        self.process_count += 1
        if not tracee.announced:
            self.fresh[tracee.pid] = tracee

    def add_thread(self, tid: int, tracee: Tracee) -> None:
        self.by_tid[tid] = tracee
        if tracee.tids is None:
            tracee.tids = set()
        tracee.tids.add(tid)

    def drop_thread(self, tid: int, tracee: Tracee) -> None:
        self.by_tid.pop(tid, None)
        self.first_options.pop(tid, None)
        self._departed.add(tid)
        if tracee.tids is not None:
            tracee.tids.discard(tid)

    def drop_other_threads(self, tracee: Tracee) -> None:
        """After an exec only the leader is left."""
        for tid in tracee.tids or ():
            self.by_tid.pop(tid, None)
            self.first_options.pop(tid, None)
            self._departed.add(tid)
        tracee.tids = None

    def drop_process(self, tracee: Tracee) -> None:
        self.drop_other_threads(tracee)
        if self.by_tid.pop(tracee.pid, None) is not None:
            self.process_count -= 1
        self.fresh.pop(tracee.pid, None)
        self.first_options.pop(tracee.pid, None)
        self._departed.add(tracee.pid)
        self._forget(tracee.pid)
        tracee.parent = None

    def knows(self, tid: int) -> bool:
        """Whether a tid is traced, about to be, or left a moment ago."""
        return tid in self.by_tid or tid in self.early or tid in self._departed or tid in self._departed_before

    def processes(self) -> list[Tracee]:
        return [tracee for tid, tracee in self.by_tid.items() if tid == tracee.pid]

    def is_quiet(self) -> bool:
        """Whether nothing waits for the next tick."""
        return not (self.fresh or self.early or self._departed or self._departed_before)

    def forget_departed(self) -> None:
        """To be called once a tick: who left two ticks ago may come back as somebody else."""
        if self._departed or self._departed_before:
            self._departed_before, self._departed = self._departed, set()
