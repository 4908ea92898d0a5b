"""Reading a descriptor of a process that stands still meanwhile, with as few system calls as tell all of it.

`/proc/PID/fd/N` followed by stat(2) is the open file itself: its type, device and inode, also where no path leads
to it. For a pipe or socket without a name (pipefs, sockfs) and for /dev/null that is all there is, and the text of
the link follows from it; only for the rest is the link read. The link's own permission bits tell how a pipe was
opened: which end it is.

Every name looked up under /proc makes the kernel build an entry that it must tear down when the process ends, so
few names count for more than few calls.
"""

import os
import socket
import stat
from typing import Final

from outrider_sidecar.linux.identity import identify
from outrider_wire.events import Descriptor
from outrider_wire.text import clean_text

STANDARD: Final = (b"fd/0", b"fd/1", b"fd/2")
NULL_DEVICE: Final = os.makedev(1, 3)
_NO_TERMINAL: Final = -1


def _device_of_pipes() -> int:
    ends = os.pipe()
    try:
        return os.fstat(ends[0]).st_dev
    finally:
        for fd in ends:
            os.close(fd)


def _device_of_sockets() -> int:
    with socket.socket(socket.AF_UNIX) as made:
        return os.fstat(made.fileno()).st_dev


PIPE_DEVICE: Final = _device_of_pipes()
SOCKET_DEVICE: Final = _device_of_sockets()


def read_descriptor_at(here: int, fd: int, before: Descriptor | None = None) -> Descriptor:
    """One descriptor of the process whose /proc directory is open as `here`. Raises OSError.

    `before` is what was read under the same number of this process or its parent: if the file is still the same,
    so is the rest.
    """
    name = name_of(fd)
    inode, device, mode, special = identify(here, name)
    if before is not None and before.inode == inode and before.dev in (0, device) and before.fd == fd:
        return before
    if device == SOCKET_DEVICE and stat.S_ISSOCK(mode):
        return Descriptor(fd, f"socket:[{inode}]", inode)
    if device == PIPE_DEVICE and stat.S_ISFIFO(mode):
        return Descriptor(fd, f"pipe:[{inode}]", inode, 0, _access(here, name))
    if special == NULL_DEVICE and stat.S_ISCHR(mode):
        return Descriptor(fd, "/dev/null", inode, device)
    target = os.readlink(name, dir_fd=here)
    fifo = stat.S_ISFIFO(mode)
    access = _access(here, name) if fifo else ""
    tty_index = _tty_index(here, fd) if target.endswith((b"/ptmx", b"/ptmx (deleted)")) else _NO_TERMINAL
    return Descriptor(fd, clean_text(target), inode, device, access, tty_index, fifo)


def name_of(fd: int) -> bytes:
    """What a descriptor is called in its process's /proc directory."""
    return STANDARD[fd] if fd < len(STANDARD) else b"fd/%d" % fd


def _access(here: int, name: bytes) -> str:
    mode = os.lstat(name, dir_fd=here).st_mode
    return ("r" if mode & 0o400 else "") + ("w" if mode & 0o200 else "")


def _tty_index(here: int, fd: int) -> int:
    info = os.open(f"fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=here)
    try:
        for line in os.read(info, 1024).splitlines():
            if line.startswith(b"tty-index:"):
                return int(line.partition(b":")[2])
    finally:
        os.close(info)
    return _NO_TERMINAL
