"""One end of the pair between gate and engine: packets out as they fit, packets in as they come, never waiting.

A UNIX packet socket takes only as many packets as net.unix.max_dgram_qlen says, ten on many machines, so what does not
fit waits here, up to a bound; past it the newest is dropped, which for a question means that the program starts.
"""

import os
import socket
import threading
from collections import deque
from typing import Final

import msgspec
from msgspec import Struct

from outrider_sidecar.gate.records import MAX_RECORD_BYTES

MAX_WAITING: Final = 256
MAX_TAKEN: Final = 64
"""Most packets taken in one turn."""


class Channel:
    """`send` may be called by any thread, the rest by the one that polls."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=os.dup(fd))
        self._socket.setblocking(False)
        self._waiting: deque[bytes] = deque()
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def has_waiting(self) -> bool:
        """Whether something waits for room: poll for POLLOUT then, and `flush`."""
        return bool(self._waiting)

    def send(self, record: Struct) -> bool:
        """Send, or keep until there is room; False where it was dropped."""
        data = msgspec.msgpack.encode(record)
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                return False
            self._waiting.append(data)
            self._flush()
        return True

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        while self._waiting:
            try:
                self._socket.send(self._waiting[0])
            except (BlockingIOError, InterruptedError):
                return
            self._waiting.popleft()

    def receive(self) -> list[bytes]:
        """The packets that lie there, at most MAX_TAKEN."""
        packets: list[bytes] = []
        while len(packets) < MAX_TAKEN:
            try:
                data = self._socket.recv(MAX_RECORD_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            if not data:
                break
            packets.append(data)
        return packets

    def close(self) -> None:
        self._socket.close()
