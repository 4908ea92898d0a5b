"""System calls that keep Python's interpreter lock: for work that is lost when it waits.

Facts that shape this file:

- Python gives its lock up around every system call of `os` and `socket`, and `os.listdir` does so for each entry.
  Where another thread is busy, taking it back takes up to the switch interval of 5 ms, each time.
- Finding the owner of a connection takes some hundred calls of a microsecond or two, while the process it looks
  for may end. Measured beside a busy thread: by `os` and `socket` a search took 3 to 100 ms and a look at a known
  holder 10 to 15 ms; by the functions here 0.5 to 1 ms and 0.15 ms. Beside an idle one both take 0.5 ms.
- A function bound by ctypes.PyDLL keeps the lock. The interpreter still hands it over between two such calls when
  another thread has waited for the whole interval, so nobody starves.

Only calls that never wait belong here: /proc, sockets that do not block, and netlink sockets whose kernel answers
while it is being asked.
"""

import ctypes
import errno
import os
import struct
import threading
from typing import Any, Final

LIBC_UNYIELDING: Final = ctypes.PyDLL(None, use_errno=True)
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_CLOEXEC
_ENTRY_BYTES: Final = struct.Struct("=H")
_LENGTH_AT: Final = 16  # of struct linux_dirent64: d_ino and d_off come before d_reclen
_NAME_AT: Final = 19
_LIST_BYTES: Final = 32768
_LINK_BYTES: Final = 64
"""Enough for `socket:[N]`; a longer link is another thing."""


def _bind(name: str, *argument_types: Any, result: Any = ctypes.c_ssize_t) -> Any:
    """A C function that returns a length or -1. Any: ctypes functions have no static type."""
    bound = LIBC_UNYIELDING[name]
    bound.argtypes = argument_types
    bound.restype = result
    return bound


_open: Final = _bind("open", ctypes.c_char_p, ctypes.c_int, result=ctypes.c_int)
_close: Final = _bind("close", ctypes.c_int, result=ctypes.c_int)
_read: Final = _bind("read", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_getdents: Final = _bind("getdents64", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_readlinkat: Final = _bind("readlinkat", ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_send: Final = _bind("send", ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
_recv: Final = _bind("recv", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


class Buffer:
    """Memory that C functions fill, for one thread."""

    def __init__(self, size_bytes: int) -> None:
        self.data = bytearray(size_bytes)
        self.size_bytes = size_bytes
        self._shared = (ctypes.c_char * size_bytes).from_buffer(self.data)
        self.address = ctypes.addressof(self._shared)


class _Buffers(threading.local):
    """Those of one thread, by size."""

    def __init__(self) -> None:
        self.by_size: dict[int, Buffer] = {}


_buffers: Final = _Buffers()


def thread_buffer(size_bytes: int) -> Buffer:
    """The calling thread's buffer of this size, for all who copy out of it before anybody else may fill it."""
    buffer = _buffers.by_size.get(size_bytes)
    if buffer is None:
        buffer = _buffers.by_size[size_bytes] = Buffer(size_bytes)
    return buffer


class DescriptorReader:
    """Looks through /proc/PID/fd and the like. Its memory is that of the calling thread."""

    def find(self, folder: bytes, target: bytes, *, limit: int) -> int:
        """The highest of the numbered links in a folder that reads `target`, or -1. Raises OSError."""
        directory = _check(_open(folder, _DIRECTORY), "open")
        try:
            link = thread_buffer(_LINK_BYTES)
            length, data, address = len(target), link.data, link.address
            for number in sorted(self._numbers(directory), reverse=True)[:limit]:
                size = _readlinkat(directory, b"%d" % number, address, _LINK_BYTES)
                if size == length and data[:size] == target:
                    return number
            return -1
        finally:
            _close(directory)

    def numbers(self, folder: bytes) -> list[int]:
        """The entries of a folder whose names are numbers, in no order. Raises OSError."""
        directory = _check(_open(folder, _DIRECTORY), "open")
        try:
            return self._numbers(directory)
        finally:
            _close(directory)

    def read_link(self, path: bytes) -> bytes:
        """A link's text, at most 64 bytes of it. Raises OSError."""
        link = thread_buffer(_LINK_BYTES)
        size = _check(_readlinkat(-100, path, link.address, _LINK_BYTES), "readlink")  # AT_FDCWD
        return bytes(link.data[:size])

    def read_file(self, path: bytes) -> bytes:
        """The first 32 KiB of a /proc file. Raises OSError."""
        file = _check(_open(path, _FILE), "open")
        try:
            content = thread_buffer(_LIST_BYTES)
            size = _check(_read(file, content.address, _LIST_BYTES), "read")
            return bytes(content.data[:size])
        finally:
            _close(file)

    def _numbers(self, directory: int) -> list[int]:
        entries = thread_buffer(_LIST_BYTES)
        found, data = [], entries.data
        while size := _check(_getdents(directory, entries.address, _LIST_BYTES), "getdents64"):
            offset = 0
            while offset < size:
                name = data[offset + _NAME_AT : data.index(0, offset + _NAME_AT)]
                if name.isdigit():
                    found.append(int(name))
                offset += _ENTRY_BYTES.unpack_from(data, offset + _LENGTH_AT)[0]
        return found


def send(fd: int, message: bytes) -> None:
    """Send a datagram. Raises OSError."""
    _check(_send(fd, message, len(message), 0), "send")


def receive(fd: int, buffer: Buffer) -> bytes:
    """The next datagram; waits for the socket's SO_RCVTIMEO at most. Raises OSError."""
    while True:
        size = _recv(fd, buffer.address, buffer.size_bytes, 0)
        if size >= 0:
            return bytes(buffer.data[:size])
        if ctypes.get_errno() != errno.EINTR:
            _check(size, "recv")
