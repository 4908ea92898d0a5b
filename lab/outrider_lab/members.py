"""The processes of a container, read from outside: who they are on this machine and in their task."""

import os

from msgspec import Struct

from outrider_sidecar.linux.procfs import PROC, read_bytes, read_stat, reading
from outrider_wire.errors import ProcessGone
from outrider_wire.text import clean_text


class TaskProcess(Struct, frozen=True):
    """A process of a container: `pid` on this machine, `task_pid` as the task knows it."""

    pid: int
    task_pid: int
    start_ticks: int
    comm: str
    argv: tuple[str, ...]


def read_process(pid: int) -> TaskProcess:
    """Raises ProcessGone."""
    stat = read_stat(pid)
    with reading(pid):
        status = read_bytes(f"{PROC}/{pid}/status", limit=8192)
        words = read_bytes(f"{PROC}/{pid}/cmdline", limit=65536).split(b"\0")[:-1]
    return TaskProcess(pid, innermost_pid(status), stat.start_ticks, stat.comm, tuple(clean_text(w) for w in words))


def innermost_pid(status: bytes) -> int:
    """The pid in the process's own namespace: the last field of NSpid in proc_pid_status(5). Raises ValueError."""
    for line in status.splitlines():
        if line.startswith(b"NSpid:"):
            return int(line.split()[-1])
    raise ValueError("no NSpid in status")


def read_processes(pids: list[int]) -> list[TaskProcess]:
    """Those of the processes that are still there."""
    found = []
    for pid in pids:
        try:
            found.append(read_process(pid))
        except ProcessGone:
            continue
    return found


def descendants(pid: int, *, but: int = 0) -> list[int]:
    """The living descendants of a process, nearest first; not `but` and its own."""
    found: list[int] = []
    for child in _children(pid):
        if child != but:
            found += [child, *descendants(child)]
    return [one for one in found if _lives(one)]


def _children(pid: int) -> list[int]:
    try:
        return [
            int(word)
            for thread in os.listdir(f"{PROC}/{pid}/task")
            for word in (PROC / str(pid) / "task" / thread / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []  # it ended meanwhile


def _lives(pid: int) -> bool:
    try:
        return read_stat(pid).state not in "ZX"
    except ProcessGone:
        return False
