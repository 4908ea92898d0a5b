"""Receiving a datagram with all that the kernel tells of it: recvmsg(2), without giving up the interpreter lock.

`socket.recvmsg` gives the lock up (see `unyielding`), makes new objects for each part, and for a packet socket asks
the kernel for the interface's name each time. Here the memory and the `struct msghdr` that points to it are made
once, for all sockets of a thread, and only what was received is copied: a host has hundreds of taps.
"""

import ctypes
import errno
import os
import socket
import struct
from typing import Final

from msgspec import Struct

from outrider_sidecar.linux.unyielding import LIBC_UNYIELDING, Buffer

_NAME_BYTES: Final = 32  # struct sockaddr_ll has 20
_CONTROL_BYTES: Final = 128
_CONTROL_HEADER: Final = struct.Struct("@Nii")  # struct cmsghdr
_NOTHING: Final = (errno.EAGAIN, errno.EINTR)


class _IoVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _MessageHeader(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_IoVector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


_recvmsg: Final = LIBC_UNYIELDING["recvmsg"]
_recvmsg.argtypes = (ctypes.c_int, ctypes.POINTER(_MessageHeader), ctypes.c_int)
_recvmsg.restype = ctypes.c_ssize_t


class Received(Struct, frozen=True, gc=False):
    """One datagram: its bytes, its sender's raw address, and its raw control messages."""

    data: bytes
    name: bytes
    control: bytes


class MessageReceiver:
    """Receives the datagrams of any sockets. For one thread."""

    def __init__(self, *, size_bytes: int) -> None:
        self._data, self._name, self._control = Buffer(size_bytes), Buffer(_NAME_BYTES), Buffer(_CONTROL_BYTES)
        self._vector = _IoVector(self._data.address, size_bytes)
        self._header = _MessageHeader(name=self._name.address, vectors=ctypes.pointer(self._vector), vector_count=1)
        self._header.control = self._control.address

    def receive(self, fd: int) -> Received | None:
        """The next datagram, or None when none waits; longer ones are cut. Never blocks. Raises OSError."""
        header = self._header
        header.name_size, header.control_size = _NAME_BYTES, _CONTROL_BYTES
        size = _recvmsg(fd, header, socket.MSG_DONTWAIT)
        if size < 0:
            code = ctypes.get_errno()
            if code in _NOTHING:
                return None
            raise OSError(code, f"recvmsg: {os.strerror(code)}")
        return Received(
            data=bytes(self._data.data[:size]),
            name=bytes(self._name.data[: header.name_size]),
            control=bytes(self._control.data[: header.control_size]),
        )


def find_control(control: bytes, level: int, kind: int) -> bytes:
    """The data of the first control message of a kind; empty where there is none."""
    offset = 0
    while offset + _CONTROL_HEADER.size <= len(control):
        length, its_level, its_kind = _CONTROL_HEADER.unpack_from(control, offset)
        if length < _CONTROL_HEADER.size:
            break
        if (its_level, its_kind) == (level, kind):
            return control[offset + _CONTROL_HEADER.size : offset + length]
        offset += (length + 7) & ~7
    return b""
