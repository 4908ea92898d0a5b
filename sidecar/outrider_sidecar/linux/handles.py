"""File handles: name_to_handle_at(2) and open_by_handle_at(2), by which fanotify names objects.

Facts that shape this file:

- A handle is a struct file_handle: length, type, and bytes that only its file system understands. Two handles are of
  one object where all of it is equal and the file system is the same; an inode number used again has another.
- A handle outlives its object: decoding then says ESTALE. A deleted directory that is still open decodes, and its
  path ends in ` (deleted)`.
- Decoding needs CAP_DAC_READ_SEARCH in the first user namespace, and a descriptor of anything on the same file
  system that is no O_PATH one. What the link of the decoded descriptor says is a path by the mount of that one.
- overlayfs gives handles and takes none back, unless mounted with nfs_export.
"""

import ctypes
import os
import struct
from typing import Final

from outrider_sidecar.linux.libc import check, function

MAX_HANDLE_BYTES: Final = 128
_EMPTY_PATH: Final = 0x1000
_HEADER = struct.Struct("=Ii")

_name_to_handle_at = function(
    "name_to_handle_at", ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int), ctypes.c_int
)
_open_by_handle_at = function("open_by_handle_at", ctypes.c_int, ctypes.c_char_p, ctypes.c_int)


def handle_of(fd: int) -> bytes:
    """The handle of what a descriptor is open on, O_PATH too. Raises OSError (EOPNOTSUPP: no handles here)."""
    memory = ctypes.create_string_buffer(_HEADER.size + MAX_HANDLE_BYTES)
    _HEADER.pack_into(memory, 0, MAX_HANDLE_BYTES, 0)
    mount_id = ctypes.c_int()
    check(_name_to_handle_at(fd, b"", memory, ctypes.byref(mount_id), _EMPTY_PATH), "name_to_handle_at")
    length, _ = _HEADER.unpack_from(memory, 0)
    return memory.raw[: _HEADER.size + length]


def open_handle(mount_fd: int, handle: bytes, flags: int = os.O_PATH) -> int:
    """A descriptor of what a handle names. Raises ValueError for no handle, OSError (ESTALE: it is gone)."""
    if len(handle) < _HEADER.size or _HEADER.unpack_from(handle)[0] != len(handle) - _HEADER.size:
        raise ValueError(f"not a file handle: {len(handle)} bytes")
    return check(_open_by_handle_at(mount_fd, handle, flags | os.O_CLOEXEC), "open_by_handle_at")
