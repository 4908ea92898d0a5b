"""Reading /proc of processes that may end between two reads.

Facts that shape this file:

- A process can vanish at any system call. The kernel then answers ENOENT on a path, ESRCH on a descriptor that
  was opened before. Both mean the same to us and become ProcessGone, here, once.
- EACCES and EPERM mean that the process exists and is not ours to read (no SYS_PTRACE): that is Unavailable.
- The command name in /proc/PID/stat stands in parentheses and may itself hold parentheses and spaces: fields
  are counted from the last `)`.
- Everything read is text of the guarded task: hostile, decoded by clean_text alone.

The root is an argument (`proc`) so that a test can lay out its own.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import Descriptor, FileFacts, ProcessId
from outrider_wire.text import clean_text

PROC: Final = Path("/proc")
MAX_DESCRIPTORS: Final = 4096
"""Most descriptors read of one process; past that the rest is not looked at."""

_GONE = (errno.ENOENT, errno.ESRCH)


@contextmanager
def reading(pid: int) -> Iterator[None]:
    """Translate what the kernel says of a vanished or forbidden process."""
    try:
        yield
    except OSError as error:
        if error.errno in _GONE:
            raise ProcessGone(f"process {pid} is gone") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise Unavailable(
                f"process {pid} may not be read: {error.strerror}", "give the sidecar CAP_SYS_PTRACE"
            ) from error
        raise


class Stat(Struct, frozen=True, gc=False):
    """The fields of proc_pid_stat(5) that we use; the number is the manual's."""

    pid: int  # 1
    comm: str  # 2
    state: str  # 3
    ppid: int  # 4
    pgid: int  # 5
    sid: int  # 6
    tty: int  # 7
    start_ticks: int  # 22
    stack: int  # 28: where the initial stack begins; 0 unless the reader may trace the process

    @property
    def process(self) -> ProcessId:
        return ProcessId(self.pid, self.start_ticks)


def parse_stat(raw: bytes) -> Stat:
    """The content of a stat file. Raises ValueError for anything else."""
    opening, closing = raw.find(b"("), raw.rfind(b")")
    if opening < 0 or closing < opening:
        raise ValueError(f"not a stat line: {raw[:40]!r}")
    rest = raw[closing + 1 :].split(None, 26)
    if len(rest) < 26:
        raise ValueError(f"stat line is short: {len(rest)} fields after the name")
    return Stat(
        pid=int(raw[:opening]),
        comm=clean_text(raw[opening + 1 : closing], limit=64),
        state=clean_text(rest[0], limit=1),
        ppid=int(rest[1]),
        pgid=int(rest[2]),
        sid=int(rest[3]),
        tty=int(rest[4]),
        start_ticks=int(rest[19]),
        stack=int(rest[25]),
    )


def read_stat(pid: int, *, proc: Path = PROC) -> Stat:
    """Raises ProcessGone."""
    with reading(pid):
        return parse_stat(read_bytes(f"{proc}/{pid}/stat", limit=1024))


def read_bytes(path: str, *, limit: int) -> bytes:
    """At most `limit` bytes of a /proc file, with three system calls."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, limit)
    finally:
        os.close(fd)


def read_whole(path: str, *, limit: int) -> bytes:
    """A /proc file that comes in pieces, such as maps, up to the first piece past `limit`."""
    parts, size = [], 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while size < limit and (part := os.read(fd, 65536)):
            parts.append(part)
            size += len(part)
    finally:
        os.close(fd)
    return b"".join(parts)


def list_pids(*, proc: Path = PROC) -> list[int]:
    """Every process of the reader's PID namespace, in ascending order."""
    return sorted(int(name) for name in os.listdir(proc) if name.isdigit())


def list_threads(pid: int, *, proc: Path = PROC) -> list[int]:
    """Every thread of a process. Raises ProcessGone."""
    with reading(pid):
        return [int(name) for name in os.listdir(f"{proc}/{pid}/task")]


def read_link(pid: int, name: str, *, proc: Path = PROC) -> str:
    """A link such as `exe`, `cwd` or `fd/0`, as text. Raises ProcessGone, Unavailable."""
    with reading(pid):
        return clean_text(os.readlink(f"{proc}/{pid}/{name}".encode()))


def namespace(pid: int, kind: str, *, proc: Path = PROC) -> int:
    """The inode number of a namespace of a process (`mnt`, `net`, `pid`). Raises ProcessGone, Unavailable."""
    return int(read_link(pid, f"ns/{kind}", proc=proc).rpartition("[")[2].rstrip("]"))


CAP_SYS_PTRACE: Final = 19


def has_capability(number: int, *, proc: Path = PROC) -> bool:
    """Whether this process has a capability in effect; the number is capabilities(7)'s."""
    status = read_bytes(f"{proc}/self/status", limit=8192)
    effective = next((line for line in status.splitlines() if line.startswith(b"CapEff:")), b"CapEff: 0")
    return bool(int(effective.partition(b":")[2], 16) >> number & 1)


def last_pid(*, proc: Path = PROC) -> int:
    """The newest pid of the reader's PID namespace: the last field of proc_loadavg(5)."""
    return int(read_bytes(f"{proc}/loadavg", limit=128).split()[4])


def file_facts(path: str, status: os.stat_result) -> FileFacts:
    """FileFacts of an os.stat result; `path` is what it is called in the container."""
    return FileFacts(
        path=path,
        dev=status.st_dev,
        ino=status.st_ino,
        mode=status.st_mode,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        nlink=status.st_nlink,
    )


def read_descriptor(pid: int, fd: int | str, *, proc: Path = PROC) -> Descriptor:
    """One open descriptor with inode, device and access, and the slave's number of a pty master.

    Raises ProcessGone, also where the process lives and has no such descriptor.
    """
    base = f"{proc}/{pid}/fd/{fd}"
    with reading(pid):
        target = clean_text(os.readlink(base.encode()))
        inode = dev = 0
        fifo = False
        if target.startswith(("socket:[", "pipe:[")):
            inode = int(target.rpartition("[")[2].rstrip("]"))
        else:
            status = os.stat(base)
            inode, dev, fifo = status.st_ino, status.st_dev, stat.S_ISFIFO(status.st_mode)
        mode = os.lstat(base).st_mode  # the link's own permission bits tell how the file was opened
        access = ("r" if mode & 0o400 else "") + ("w" if mode & 0o200 else "")
        tty_index = -1
        if target.endswith(("/ptmx", "/ptmx (deleted)")):
            info = read_bytes(f"{proc}/{pid}/fdinfo/{fd}", limit=1024)
            for line in info.splitlines():
                if line.startswith(b"tty-index:"):
                    tty_index = int(line.partition(b":")[2])
        return Descriptor(int(fd), target, inode, dev, access, tty_index, fifo)


def read_descriptors(pid: int, *, limit: int = MAX_DESCRIPTORS, proc: Path = PROC) -> tuple[Descriptor, ...]:
    """Every open descriptor of a process, up to `limit`. Raises ProcessGone, Unavailable."""
    with reading(pid):
        names = sorted(os.listdir(f"{proc}/{pid}/fd"), key=int)[:limit]
    found = []
    for name in names:
        try:
            found.append(read_descriptor(pid, name, proc=proc))
        except (ProcessGone, ValueError):
            continue  # closed meanwhile
    return tuple(found)
