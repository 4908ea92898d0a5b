"""Namespaces and mounts, the system calls of them that the lab makes.

Facts that shape the lab:

- A PID namespace ends with its first process: the kernel kills every other member before that process's wait(2)
  status is given. The supervisor is that first process, so its end, by whatever signal, is the end of everything.
- PR_SET_PDEATHSIG kills the supervisor when the thread that forked it ends. The kernel forces the signal on the
  first process of a namespace only where the sender is outside it, as the keeper is.
- unshare(CLONE_NEWPID) moves the caller's children, not the caller. /proc must be mounted anew inside.
- A mount namespace made by unshare(2) still passes mounts on to its peers until it is made private.
- setns(2) and unshare(2) of a network namespace move one thread: /proc/thread-self is the path that tells the truth.

Python 3.11 has neither unshare nor setns in `os`; both are bound here.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from outrider_sidecar.linux.libc import check, function

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWNET: Final = 0x40000000
CLONE_NEWPID: Final = 0x20000000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_MNT_DETACH: Final = 2

_unshare = function("unshare", ctypes.c_int)
_setns = function("setns", ctypes.c_int, ctypes.c_int)
_prctl = function("prctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_umount2 = function("umount2", ctypes.c_char_p, ctypes.c_int)
_mount = function("mount", ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def unshare(kinds: int) -> None:
    """Give the caller new namespaces of these kinds. Raises OSError."""
    check(_unshare(kinds), "unshare")


def set_namespace(fd: int, kind: int) -> None:
    """Move the calling thread to the namespace behind `fd`. Raises OSError."""
    check(_setns(fd, kind), "setns")


@contextmanager
def entered(path: str, kind: int) -> Iterator[None]:
    """Be in the namespace at `path` for a while: the calling thread alone, and back again whatever happens."""
    name = {CLONE_NEWNET: "net"}[kind]
    home = os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            set_namespace(there, kind)
        finally:
            os.close(there)
        try:
            yield
        finally:
            set_namespace(home, kind)
    finally:
        os.close(home)


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel for a signal when the thread that forked us ends."""
    check(_prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    check(_prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl PR_SET_CHILD_SUBREAPER")


def mount(kind: str, target: str, *, flags: int = 0, options: str = "", source: str = "outrider-lab") -> None:
    """Mount a file system of this kind at `target`. Raises OSError."""
    check(
        _mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()),
        f"mount {kind} at {target}",
    )


def unmount(target: str) -> None:
    """Take what is mounted at `target` out of sight; it ends with its last user. Raises OSError."""
    check(_umount2(target.encode(), _MNT_DETACH), f"unmount {target}")


def make_mounts_private() -> None:
    """Stop every mount of this namespace from reaching another, and theirs from reaching us."""
    check(_mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "make mounts private")


def bind_mount(source: str, target: str, *, read_only: bool = False) -> None:
    """Make `source` seen at `target` too. Raises OSError."""
    check(_mount(source.encode(), target.encode(), None, MS_BIND, None), f"bind {source} at {target}")
    if read_only:
        flags = MS_BIND | MS_REMOUNT | MS_RDONLY
        check(_mount(b"none", target.encode(), None, flags, None), f"make {target} read-only")
