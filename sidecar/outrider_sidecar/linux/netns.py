"""Network namespaces of other processes: network_namespaces(7), setns(2), /proc/PID/ns/net.

Facts that shape this file:

- setns(2) moves one thread. A socket belongs for ever to the namespace of the thread that made it, wherever that
  thread goes afterwards: so a thread goes in, opens what it needs, and comes back. There and back takes 25 µs.
- The inode number of /proc/PID/ns/net is a namespace's identity while it lives; a later one may have the same number.
- A namespace lives as long as a process, a mount, an open descriptor of its ns/net or a **socket** made in it. A
  descriptor kept by us would keep the network of an ended task alive, with its interfaces. So none is kept: it is
  opened by the pid of a member each time, and fstat of it says whether it still is the namespace that was meant. Our
  own sockets in it are the same danger: whoever keeps some must close them when the last member ends.
- A pidfd becomes readable when its process ends, and says nothing of pids used again.
- setns into a network needs CAP_SYS_ADMIN in the user namespace that owns it and in one's own. Reading the link
  needs CAP_SYS_PTRACE. Neither is needed for one's own namespace.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.libc import check, function
from outrider_sidecar.linux.procfs import PROC, reading
from outrider_sidecar.linux.unyielding import DescriptorReader
from outrider_wire.errors import ProcessGone, Unavailable

_CLONE_NEWNET: Final = 0x40000000
_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC

_setns: Final = function("setns", ctypes.c_int, ctypes.c_int)


def own_network(*, proc: Path = PROC) -> int:
    """The network namespace of the calling thread."""
    return os.stat(f"{proc}/thread-self/ns/net").st_ino


@contextmanager
def entered(pid: int, net_ns: int = 0, *, proc: Path = PROC) -> Iterator[int]:
    """Be in a process's network namespace for a while: the calling thread alone, and back whatever happens.

    Yields the namespace's number. Raises ProcessGone where the process ended, or is not in `net_ns` (0: whichever it
    is in); Unavailable where it may not be entered. Where the way back is barred nothing is safe any more: that is a
    RuntimeError, which nobody is to catch.
    """
    with reading(pid):
        there = os.open(f"{proc}/{pid}/ns/net", _OPEN)
    try:
        number = os.fstat(there).st_ino
        if net_ns not in (0, number):
            raise ProcessGone(f"process {pid} is not in the network {net_ns}")
        if number == own_network(proc=proc):
            yield number
            return
        home = os.open(f"{proc}/thread-self/ns/net", _OPEN)
        try:
            _move(there)
            os.close(there)
            there = -1
            try:
                yield number
            finally:
                _come_back(home)
        finally:
            os.close(home)
    finally:
        if there >= 0:
            os.close(there)


def _move(there: int) -> None:
    try:
        check(_setns(there, _CLONE_NEWNET), "setns")
    except PermissionError as error:
        raise Unavailable("setns into a network was refused", "give it CAP_SYS_ADMIN and CAP_SYS_PTRACE") from error
    except OSError as error:
        raise Unavailable(f"a network could not be entered: {error.strerror}") from error


def _come_back(home: int) -> None:
    try:
        check(_setns(home, _CLONE_NEWNET), "setns")
    except OSError as error:
        raise RuntimeError("a thread could not leave the network it was in") from error


class Member:
    """A process of a network namespace, by whose end one learns that the namespace may be over.

    Raises ProcessGone where that process ended or is in another namespace; Unavailable where that cannot be told.
    """

    def __init__(self, pid: int, net_ns: int, *, proc: Path = PROC) -> None:
        self.pid = pid
        try:
            with reading(pid):
                self._pidfd = os.pidfd_open(pid)
        except OSError as error:
            raise Unavailable(f"pidfd_open was refused: {error.strerror}") from error
        if network_of(pid, proc=proc) != net_ns:
            self.close()
            raise ProcessGone(f"process {pid} is not in the network {net_ns}")

    def fileno(self) -> int:
        """Readable when the process ended."""
        return self._pidfd

    def close(self) -> None:
        os.close(self._pidfd)


def network_of(pid: int, *, proc: Path = PROC) -> int:
    """The network namespace of a process, 0 where it is gone or may not be read."""
    try:
        return os.stat(f"{proc}/{pid}/ns/net").st_ino
    except OSError:
        return 0


def members(net_ns: int, *, proc: Path = PROC) -> Iterator[int]:
    """The processes of a network namespace, oldest pid first: one look at each process of the machine."""
    reader, wanted = DescriptorReader(), b"net:[%d]" % net_ns
    for pid in sorted(reader.numbers(str(proc).encode())):
        try:
            if reader.read_link(b"%s/%d/ns/net" % (str(proc).encode(), pid)) == wanted:
                yield pid
        except OSError:
            continue  # it ended, or may not be read
