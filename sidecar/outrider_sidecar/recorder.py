"""The flight recorder: the tracer's latest records, in a file that outlives every process of the sidecar.

Whoever attacks and then kills the whole sidecar leaves the record of the attack in a pipe that dies with its ends,
or in the memory of an engine that died. So the tracer copies each record into a file mapped shared as well: a
microsecond, no system call, and nobody has to live on for it to be kept. The next engine judges what none before
it is known to have judged.

Facts that shape this file:

- Pages of a shared mapping belong to the file: they survive kill -9 of all who map it. The blocks are reserved
  beforehand, because a write to a mapped hole on a full disk is SIGBUS.
- Two halves are filled in turn, and the one that is begun anew is emptied first: the latest half is always whole.
- A half's length is written after its bytes, so a record is there wholly or not at all.
- `judged_ns` is the time of the latest record that was judged; the tracer's records are in the order of time.
"""

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgpack
import msgspec

from outrider_wire.events import Event

FILE: Final = "recorder"
HALF_BYTES: Final = 256 * 1024
HEADER_BYTES: Final = 4096
MAGIC: Final = 0x3152_4543_4F52_4431
"""Of this layout; a file of another is begun anew."""

_MAGIC, _TURN, _LENGTHS, _JUDGED, _BEGAN = 0, 1, 2, 4, 5
"""Words of the header; the lengths of both halves are words 2 and 3."""


class Recorder:
    """The mapped file. One process calls `record`, one `judged_ns`; made before they are forked.

    Raises OSError where the file cannot be made or its blocks reserved.
    """

    def __init__(
        self, directory: Path, *, half_bytes: int = HALF_BYTES, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._half_bytes = half_bytes
        size = HEADER_BYTES + 2 * half_bytes
        directory.mkdir(parents=True, exist_ok=True)
        fd = os.open(directory / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(fd).st_size != size:
                os.ftruncate(fd, 0)
            os.posix_fallocate(fd, 0, size)
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        self._words = memoryview(self._map)[:HEADER_BYTES].cast("Q")
        if self._words[_MAGIC] != MAGIC or max(self._words[_LENGTHS], self._words[_LENGTHS + 1]) > half_bytes:
            self._words[_TURN] = self._words[_LENGTHS] = self._words[_LENGTHS + 1] = self._words[_JUDGED] = 0
            self._words[_BEGAN] = clock_ns()
            self._words[_MAGIC] = MAGIC

    def record(self, frame: bytes) -> None:
        """Keep one record, a msgpack `bin` object of an event; one that is larger than a half is not kept."""
        words, size = self._words, len(frame)
        turn = words[_TURN] & 1
        used = words[_LENGTHS + turn]
        if used + size > self._half_bytes:
            if size > self._half_bytes:
                return
            turn, used = 1 - turn, 0
            words[_LENGTHS + turn] = 0
            words[_TURN] = turn
        at = HEADER_BYTES + turn * self._half_bytes + used
        self._map[at : at + size] = frame
        words[_LENGTHS + turn] = used + size

    @property
    def began_ns(self) -> int:
        """When the first sidecar of this task began."""
        return self._words[_BEGAN]

    @property
    def judged_ns(self) -> int:
        """The time of the latest record that was judged."""
        return self._words[_JUDGED]

    @judged_ns.setter
    def judged_ns(self, at_ns: int) -> None:
        self._words[_JUDGED] = at_ns

    def unjudged(self) -> list[Event]:
        """The kept records that nobody is known to have judged, oldest first."""
        turn, judged_ns = self._words[_TURN] & 1, self.judged_ns
        return [event for half in (1 - turn, turn) for event in self._read(half) if event.at_ns > judged_ns]

    def _read(self, half: int) -> list[Event]:
        at = HEADER_BYTES + half * self._half_bytes
        unpacker = msgpack.Unpacker(max_buffer_size=self._half_bytes, max_bin_len=self._half_bytes)
        unpacker.feed(self._map[at : at + min(self._words[_LENGTHS + half], self._half_bytes)])
        decoder = msgspec.msgpack.Decoder(Event)
        events: list[Event] = []
        try:
            for record in unpacker:
                events.append(decoder.decode(record))
        except (ValueError, TypeError, msgspec.DecodeError, msgpack.UnpackException):
            pass  # the half is being begun anew, or is not ours: what was read so far stands
        return events
