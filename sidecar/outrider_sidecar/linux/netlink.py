"""Asking the kernel over netlink(7): one request, then the messages that answer it.

Facts that shape this file:

- A request carries a sequence number and the answers repeat it; whatever has another number belongs to an
  earlier request that was given up, and is dropped.
- A dump is answered by many messages over several datagrams, and ends with NLMSG_DONE. A request without
  NLM_F_DUMP is answered by one message, or by NLMSG_ERROR with a negative errno.
- The kernel answers a dump while it is being read, so a buffer of any size does; 32 KiB is what it fills at most.
- The socket belongs to the network namespace of the thread that made it.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from outrider_sidecar.linux.unyielding import receive, send, thread_buffer

REQUEST: Final = 0x1
DUMP: Final = 0x300

_ERROR: Final = 2
_DONE: Final = 3
_MULTI: Final = 0x2
_HEADER: Final = struct.Struct("=IHHII")
_BUFFER_BYTES: Final = 65536
_TIMEOUT: Final = struct.pack("@ll", 2, 0)


class NetlinkSocket:
    """One netlink socket, for one thread. Raises OSError where the kernel refuses it."""

    def __init__(self, protocol: int, *, groups: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._sequence = 0
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
            self._socket.bind((0, groups))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def ask(self, kind: int, payload: bytes, *, dump: bool = False) -> Iterator[tuple[int, memoryview]]:
        """Send one request and yield (type, payload) of each message that answers it. Raises OSError."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        flags = REQUEST | (DUMP if dump else 0)
        header = _HEADER.pack(_HEADER.size + len(payload), kind, flags, self._sequence, 0)
        send(self._socket.fileno(), header + payload)
        while True:
            for answer, flags, sequence, body in split_messages(
                receive(self._socket.fileno(), thread_buffer(_BUFFER_BYTES))
            ):
                if sequence != self._sequence:
                    continue
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    _raise_error(body)
                    return
                yield answer, body
                if not flags & _MULTI:
                    return

    def drain(self) -> None:
        """Throw away whatever waits: for a socket whose readability alone is the news. Never blocks."""
        try:
            while self._socket.recv(_BUFFER_BYTES, socket.MSG_DONTWAIT):
                pass
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS):
                raise


def split_messages(datagram: bytes) -> Iterator[tuple[int, int, int, memoryview]]:
    """Yield (type, flags, sequence, payload) of the messages in one datagram; a damaged rest is left."""
    view, offset = memoryview(datagram), 0
    while offset + _HEADER.size <= len(view):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(view, offset)
        if length < _HEADER.size or offset + length > len(view):
            return
        yield kind, flags, sequence, view[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def split_attributes(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (type, value) of the attributes (`struct rtattr`) in a message's tail; a damaged rest is left."""
    offset = 0
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4 or offset + length > len(body):
            return
        yield kind, body[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _raise_error(body: memoryview) -> None:
    code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else errno.EPROTO
    if code:
        raise OSError(code, f"netlink: {os.strerror(code)}")
