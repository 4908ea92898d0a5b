"""Opening files of another mount namespace, through /proc/PID/root, without being led out of it.

Facts that shape this file:

- /proc/PID/root is a link that the kernel follows into the other root, but an absolute symbolic link met behind
  it is resolved in the reader's own root. Root in the guarded container could so point us at our own files.
  Every component is therefore opened with no link followed; the few places that may be links (/bin) are
  resolved here, step by step, inside the root.
- openat2(2) does this in one call (Linux 5.6). Older kernels answer ENOSYS and old seccomp profiles EPERM: then
  each component is opened by itself, with the same answers.
- Opening a fifo for reading wakes its writer, and opening a device may do anything. A file is opened O_PATH
  first, which does nothing to it, and only what fstat then calls a regular file is opened to be read, through
  the descriptor, so that nobody can exchange it in between.
- A descriptor below the root pins the container's file system after its end: whatever is opened here is closed
  before the caller's turn ends. These are context managers for that reason.
- A pid may be used again by another container: the process's directory is opened first, and namespace and root
  are read through it, so both are of one process or the process is gone.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.libc import check, function
from outrider_sidecar.linux.procfs import PROC, reading
from outrider_wire.errors import ProcessGone

HEAD_BYTES: Final = 64
"""How much of a file is read to tell what it is: an ELF header."""

MAX_LINKS: Final = 40
"""Symbolic links followed in one path, as path_resolution(7)."""

_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPENAT2: Final = 437  # the same number on every architecture
_IN_ROOT: Final = 0x10 | 0x02  # IN_ROOT, NO_MAGICLINKS
_NO_LINKS: Final = _IN_ROOT | 0x04  # and NO_SYMLINKS
_syscall = function(
    "syscall", ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, result=ctypes.c_long
)
_HOW = struct.Struct("QQQ")


class _Openat2:
    """Whether openat2 works here; found out by the first call."""

    works = True


@contextmanager
def opened_root(pid: int, mnt_ns: int, *, proc: Path = PROC) -> Iterator[int]:
    """An O_PATH descriptor of the root of a process that lives in `mnt_ns` (0: whichever it is in).

    Raises ProcessGone (also where the pid is of another namespace by now), Unavailable.
    """
    with reading(pid):
        process = os.open(f"{proc}/{pid}", os.O_PATH | _DIRECTORY)
        try:
            if mnt_ns and os.stat("ns/mnt", dir_fd=process).st_ino != mnt_ns:
                raise ProcessGone(f"process {pid} is of another mount namespace now")
            root = os.open("root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process)
        finally:
            os.close(process)
    try:
        yield root
    finally:
        os.close(root)


def open_beneath(root: int, path: bytes, flags: int) -> int:
    """A descriptor of `path` in `root`, no symbolic link followed anywhere. Raises OSError."""
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    relative = path.strip(b"/") or b"."
    fd = _try_openat2(root, relative, flags, _NO_LINKS)
    return _walk(root, relative, flags) if fd is None else fd


def stat_in_root(root: str, path: bytes) -> os.stat_result:
    """stat(2) of a path as a process with this root (`/proc/PID/root`) names it, links followed. Raises OSError."""
    return find_in_root(root, path)[1]


def find_in_root(root: str, path: bytes) -> tuple[bytes, os.stat_result]:
    """The path without links of what a process with this root names, and its stat(2). Raises OSError.

    ELOOP is also the answer for a link of procfs that leads elsewhere than its text says (`fd/3`, `root`).
    """
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd, real = _find(root_fd, path or b".")
        try:
            return real or os.readlink(b"/proc/self/fd/%d" % fd), os.fstat(fd)
        finally:
            os.close(fd)
    finally:
        os.close(root_fd)


def _find(root: int, path: bytes) -> tuple[int, bytes]:
    """An O_PATH descriptor, and the path without links; empty where the descriptor has to be asked."""
    flags = os.O_PATH | os.O_CLOEXEC
    try:
        fd, real = _try_openat2(root, path, flags, _NO_LINKS), os.path.normpath(path)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        fd, real = _try_openat2(root, path, flags, _IN_ROOT), b""
    if fd is None:
        real = resolve(root, path)
        fd = open_beneath(root, real, os.O_PATH)
    return fd, real


def follow_first_link(root: int, path: bytes) -> bytes:
    """A path with its first symbolic link replaced by what the link says. Raises OSError where it has none."""
    names = [name for name in path.split(b"/") if name]
    for count in range(1, len(names) + 1):
        target = _link_target(root, b"/".join(names[:count]))
        if target is not None:
            above = [] if target.startswith(b"/") else [b"", *names[: count - 1]]
            return b"/".join([*above, target, *names[count:]])
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _try_openat2(root: int, path: bytes, flags: int, resolve_flags: int) -> int | None:
    """A descriptor by openat2(2); None where the kernel does not have it or a seccomp profile refuses it."""
    if not _Openat2.works:
        return None
    fd = _syscall(_OPENAT2, root, path, _HOW.pack(flags, 0, resolve_flags), _HOW.size)
    if fd >= 0:
        return int(fd)
    if ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM):
        return check(fd, "openat2")
    _Openat2.works = False
    return None


def _walk(root: int, relative: bytes, flags: int) -> int:
    """The same as openat2, a component at a time. `..` is refused: the paths used here hold none."""
    *above, last = relative.split(b"/")
    if b".." in above or last == b"..":
        raise OSError(errno.EXDEV, "a path with .. is not followed")
    here = root
    try:
        for name in above:
            below = os.open(name or b".", os.O_PATH | _DIRECTORY, dir_fd=here)
            if here != root:
                os.close(here)
            here = below
        return os.open(last, flags, dir_fd=here)
    finally:
        if here != root:
            os.close(here)


def resolve(root: int, path: bytes) -> bytes:
    """`path` with its symbolic links resolved inside `root`; what does not exist stays as written. Raises OSError."""
    done: list[bytes] = []
    todo = path.split(b"/")[::-1]
    links = 0
    while todo:
        name = todo.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            del done[-1:]
            continue
        target = _link_target(root, b"/".join([*done, name]))
        if target is None:
            done.append(name)
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith(b"/"):
            done.clear()
        todo.extend(target.split(b"/")[::-1])
    return b"/" + b"/".join(done)


def _link_target(root: int, path: bytes) -> bytes | None:
    try:
        fd = open_beneath(root, path, os.O_PATH)
    except OSError:
        return None
    try:
        return os.readlink(b"", dir_fd=fd) if stat.S_ISLNK(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def look(root: int, path: bytes, *, head_bytes: int = 0) -> tuple[os.stat_result, bytes]:
    """What stat says of `path` itself, and its first bytes if it is a regular file. Raises OSError for the stat."""
    fd = open_beneath(root, path, os.O_PATH)
    try:
        status = os.fstat(fd)
        if not head_bytes or not stat.S_ISREG(status.st_mode) or not status.st_size:
            return status, b""
        return status, _read_head(fd, head_bytes)
    finally:
        os.close(fd)


def _read_head(path_fd: int, size: int) -> bytes:
    """The first bytes of the regular file under an O_PATH descriptor; empty where it may not be read."""
    name = f"/proc/self/fd/{path_fd}"
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        try:
            fd = os.open(name, flags | os.O_NOATIME)  # reading must leave no trace; needs FOWNER
        except PermissionError:
            fd = os.open(name, flags)
        try:
            return os.read(fd, size)
        finally:
            os.close(fd)
    except OSError:
        return b""
