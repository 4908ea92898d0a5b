"""The tracer's way out: events into a pipe, never waiting.

Facts that shape this file:

- pipe(7): a non-blocking write of at most PIPE_BUF (4096) bytes happens wholly or not at all. A longer one may
  be cut anywhere, and if we are killed before the rest follows, the stream is torn for good.
- So whole records are joined up to PIPE_BUF; a longer record is written alone, and only while the pipe surely
  has room for all of it. A pipe page is at least half used (a write of at most a page opens a new one only where
  it does not fit), so room is certain while the bytes inside are less than half of what is left after it.
- A full pipe fills the backlog; a full backlog drops the newest event and counts it. The count goes out as a
  SightLost as soon as there is room, before anything newer.
"""

import array
import fcntl
import os
import struct
import termios
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec.msgpack import Encoder

from outrider_sidecar.sight import OPEN, unseen_since
from outrider_wire.events import Event, SightLost

PIPE_BYTES: Final = 1024 * 1024
BACKLOG_BYTES: Final = 4 * 1024 * 1024
ATOMIC_BYTES: Final = 4096
SENSE: Final = "process"

Record = Callable[[bytes], None]
"""Keeps a framed event where it outlives every process of the sidecar; takes a microsecond."""


def bin_object(data: bytes) -> bytes:
    """These bytes as one msgpack `bin` object."""
    size = len(data)
    if size < 1 << 8:
        return b"\xc4" + size.to_bytes(1, "big") + data
    if size < 1 << 16:
        return b"\xc5" + size.to_bytes(2, "big") + data
    return b"\xc6" + struct.pack(">I", size) + data


def make_event_pipe() -> tuple[int, int]:
    """(read end, write end) of a pipe of PIPE_BYTES, or of what the system allows; the write end does not block."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    try:
        fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # an unprivileged user may have used up its share: the default size serves
    os.set_blocking(write_fd, False)
    return read_fd, write_fd


class Outlet:
    """Encodes events and writes them when it can. `lost` counts what was dropped since the last report of it."""

    def __init__(self, fd: int, *, backlog_bytes: int = BACKLOG_BYTES, record: Record | None = None) -> None:
        self._fd = fd
        self._record = record
        self._capacity = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
        self._limit = backlog_bytes
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._encode = Encoder().encode
        self.lost = 0
        self.lost_in_all = 0
        self._lost_since_ns = OPEN

    def put(self, event: Event) -> None:
        """Queue an event; it is dropped and counted where the backlog is full or it can never fit the pipe."""
        frame = bin_object(self._encode(event))
        if self._record is not None:
            self._record(frame)
        size = len(frame)
        if self.lost or self._waiting_bytes + size > self._limit or not self._ever_fits(size):
            if not self.lost:
                self._lost_since_ns = time.time_ns()
            self.lost += 1
            self.lost_in_all += 1
            self._lost_since_ns = min(self._lost_since_ns, unseen_since(event))
            return
        self._frames.append(frame)
        self._waiting_bytes += size

    def flush(self) -> None:
        """Write what fits now."""
        frames = self._frames
        while frames:
            chunk = self._next_chunk()
            if len(chunk) > ATOMIC_BYTES and not self._fits_now(len(chunk)):
                return
            try:
                os.write(self._fd, chunk)
            except BlockingIOError:
                return
            except BrokenPipeError:
                return  # the reader is being replaced; the supervisor holds the read end, so this passes
            self._forget(len(chunk))
        if self.lost:
            lost, self.lost = self.lost, 0
            reason = "the pipe to the engine was full"
            self.put(SightLost(time.time_ns(), SENSE, reason, lost, self._lost_since_ns))
            self.flush()

    def _next_chunk(self) -> bytes:
        if self._waiting_bytes <= ATOMIC_BYTES:
            return b"".join(self._frames)
        first = self._frames[0]
        if len(self._frames) == 1:
            return first
        taken, size = [first], len(first)
        for frame in list(self._frames)[1:] if len(self._frames) < 64 else self._some_frames():
            size += len(frame)
            if size > ATOMIC_BYTES:
                break
            taken.append(frame)
        return b"".join(taken) if len(taken) > 1 else first

    def _some_frames(self) -> list[bytes]:
        return [self._frames[at] for at in range(1, 64)]

    def _forget(self, size: int) -> None:
        self._waiting_bytes -= size
        while size > 0:
            size -= len(self._frames.popleft())

    def _ever_fits(self, size: int) -> bool:
        return size <= ATOMIC_BYTES or size <= self._capacity // 4

    def _fits_now(self, size: int) -> bool:
        inside = array.array("i", [0])
        fcntl.ioctl(self._fd, termios.FIONREAD, inside)
        return 2 * inside[0] + size + 2 * ATOMIC_BYTES <= self._capacity
