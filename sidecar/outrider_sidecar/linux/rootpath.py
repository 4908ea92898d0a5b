"""Finding a file by the name it has in another process's root.

`/proc/PID/root` leads into the root of a container, but a symbolic link there that begins with `/` leads out
again, into the reader's own root. openat2(2) with RESOLVE_IN_ROOT (Linux 5.6; allowed by Docker's profile)
keeps every step inside. Where it is missing, names are taken literally and links are not followed.
"""

import ctypes
import errno
import os
from typing import Final

from outrider_sidecar.linux.libc import check, function

SYS_OPENAT2: Final = 437
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_IN_ROOT: Final = 0x10

_syscall = function("syscall", *(ctypes.c_long,) * 5, result=ctypes.c_long)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_how = _OpenHow(os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
_how_at = ctypes.addressof(_how)


def stat_in_root(root: str, path: bytes) -> os.stat_result:
    """stat(2) of a path as a process with this root (`/proc/PID/root`) names it. Raises OSError."""
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        name = ctypes.create_string_buffer(path)
        try:
            fd = check(_syscall(SYS_OPENAT2, root_fd, ctypes.addressof(name), _how_at, ctypes.sizeof(_how)), "openat2")
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
            return os.stat(path.lstrip(b"/") or b".", dir_fd=root_fd, follow_symlinks=False)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)
    finally:
        os.close(root_fd)
