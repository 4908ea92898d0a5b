"""Receiving many datagrams by one call: recvmmsg(2), into memory that is used again and again.

For a socket that brings small messages by the thousand: each `recv` of Python's would cost a call, an object and, when
nothing waits any more, an exception.
"""

import ctypes
import errno
import os
import socket
from typing import Final

from outrider_sidecar.linux.unyielding import LIBC_UNYIELDING, Buffer

_NAME_BYTES: Final = 16
"""struct sockaddr_nl has 12; its second word is the sender."""
_SENDER_WORD: Final = 1
_NOTHING: Final = (errno.EAGAIN, errno.EINTR)


class _IoVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr, which is padded to a whole number of words."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (("header", _Header), ("size", ctypes.c_uint))


_recvmmsg: Final = LIBC_UNYIELDING["recvmmsg"]
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
_recvmmsg.restype = ctypes.c_int


class NetlinkBatch:
    """Room for so many netlink datagrams of at most so many bytes each, for one thread."""

    def __init__(self, *, most: int, size_bytes: int) -> None:
        self.most = most
        self._size_bytes = size_bytes
        self._data, self._names = Buffer(most * size_bytes), Buffer(most * _NAME_BYTES)
        self._view = memoryview(self._data.data)
        self._senders = memoryview(self._names.data).cast("I")
        self._vectors = (_IoVector * most)()
        self._messages = (_Message * most)()
        for index, (vector, message) in enumerate(zip(self._vectors, self._messages, strict=True)):
            vector.base, vector.size = self._data.address + index * size_bytes, size_bytes
            header = message.header
            header.name, header.name_size = self._names.address + index * _NAME_BYTES, _NAME_BYTES
            header.vectors = ctypes.addressof(self._vectors) + index * ctypes.sizeof(_IoVector)
            header.vector_count = 1
        self._at = ctypes.addressof(self._messages)

    def receive(self, fd: int) -> list[tuple[int, memoryview]]:
        """Sender and bytes of what waits, good until the next call; nothing when nothing waits. Raises OSError."""
        count = _recvmmsg(fd, self._at, self.most, socket.MSG_DONTWAIT, None)
        if count < 0:
            code = ctypes.get_errno()
            if code in _NOTHING:
                return []
            raise OSError(code, f"recvmmsg: {os.strerror(code)}")
        found = []
        for index in range(count):
            start = index * self._size_bytes
            size = min(self._messages[index].size, self._size_bytes)
            found.append((self._senders[index * 4 + _SENDER_WORD], self._view[start : start + size]))
        return found
