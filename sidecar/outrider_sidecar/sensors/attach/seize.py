"""Taking hold of a process that nobody forked under us: all of its threads, without stopping one.

A thread may start another between our listing and our seizing. Children and threads of a seized thread are
attached by the kernel; so the listing is repeated until it shows no thread that is not ours.
"""

import errno
import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from outrider_sidecar.linux import ptrace
from outrider_sidecar.linux.procfs import PROC, list_threads, read_bytes
from outrider_wire.errors import ProcessGone, Unavailable

MAX_ROUNDS: Final = 64
ATTEMPTS: Final = 3
"""How often a leader is tried whose refusal its state does not explain."""


class Standing(Struct, frozen=True, gc=False):
    """What proc_pid_status(5) says of a thread's place: its process, parent, tracer and state."""

    tgid: int
    ppid: int
    tracer: int
    state: str
    threads: int


def parse_standing(raw: bytes) -> Standing:
    """The content of a status file. Raises ValueError for anything else."""
    found: dict[bytes, bytes] = {}
    for line in raw.splitlines():
        name, colon, value = line.partition(b":")
        if colon:
            found.setdefault(name, value.strip())
    try:
        return Standing(
            tgid=int(found[b"Tgid"]),
            ppid=int(found[b"PPid"]),
            tracer=int(found[b"TracerPid"]),
            state=found[b"State"][:1].decode("ascii"),
            threads=int(found.get(b"Threads", b"1")),
        )
    except KeyError as error:
        raise ValueError(f"status lacks {error}") from error


def read_standing(tid: int, *, proc: Path = PROC) -> Standing:
    """Raises ProcessGone, also where what is there is no status."""
    try:
        return parse_standing(read_bytes(f"{proc}/{tid}/status", limit=8192))
    except (OSError, ValueError) as error:
        raise ProcessGone(f"thread {tid} is gone") from error


def seize_process(pid: int, *, proc: Path = PROC) -> set[int]:
    """Seize every thread of a process; the tids that are ours now, without the leader's.

    Raises ProcessGone, or Unavailable where the kernel refuses the leader.
    """
    _seize_leader(pid, proc)
    ours: set[int] = set()
    for _ in range(MAX_ROUNDS):
        new = {tid for tid in _threads(pid, proc) if tid != pid} - ours
        if not new:
            break
        for tid in new:
            seize_thread(tid)
        ours |= new
    return ours


def _seize_leader(pid: int, proc: Path) -> None:
    """A refusal stands only where the process neither ends nor is in an exec: its state is read anew, and tried again.

    The kernel gives the same error for a process that has just ended and for one that may not be traced.
    """
    for attempt in range(ATTEMPTS):
        try:
            ptrace.seize(pid, ptrace.LEADER_OPTIONS)
        except OSError as error:
            if error.errno == errno.ESRCH:
                raise ProcessGone(f"process {pid} is gone") from error
            standing = read_standing(pid, proc=proc)
            if standing.state in "ZX":
                if standing.threads > 1:
                    return  # the leader has ended, its threads go on: the kernel refuses the leader alone
                raise ProcessGone(f"process {pid} is ending") from error
            if standing.tracer == os.getpid():
                return
            if standing.tracer or attempt == ATTEMPTS - 1:
                raise Unavailable(f"process {pid} may not be traced: {os.strerror(error.errno or 0)}") from error
        else:
            return


def seize_thread(tid: int) -> bool:
    """Seize one thread; False where it is gone or traced already, which after its leader means: by us."""
    try:
        ptrace.seize(tid, ptrace.THREAD_OPTIONS)
    except OSError:
        return False
    return True


def _threads(pid: int, proc: Path) -> list[int]:
    try:
        return list_threads(pid, proc=proc)
    except (ProcessGone, Unavailable):
        return []
