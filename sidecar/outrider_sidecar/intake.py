"""The engine's intake: one bounded queue that every sensor puts into and the engine's thread takes from.

Putting never blocks: what does not fit is dropped, counted by sense, and told of as soon as there is room.
Work that must be done in the engine's thread (an answer of the metadata endpoint, say) comes the same way.
"""

import os
import queue
import select
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import msgpack
import msgspec

from outrider_sidecar.sight import OPEN, unseen_since
from outrider_wire.events import Event, SightLost

MAX_QUEUED: Final = 50_000
READ_BYTES: Final = 256 * 1024
MAX_RECORD_BYTES: Final = 4 * 1024 * 1024
_POLL_MS: Final = 1000
GATHER_S: Final = 0.002
"""How long events are gathered while they come in quick succession: each hand-over wakes the engine's thread."""
BUSY_S: Final = 0.004
"""Succession is quick below this; the first event after a quiet moment is handed over at once."""

Errand = Callable[[], None]


class Intake:
    """The queue. `put` may be called by any thread, `take` by the engine's alone.

    Sensors that put at the same moment may pass the bound by as many as they are.
    """

    def __init__(self, *, max_queued: int = MAX_QUEUED, clock_ns: Callable[[], int]) -> None:
        self._queue: queue.SimpleQueue[Event | Errand] = queue.SimpleQueue()
        self._first: deque[Errand] = deque()
        self._max_queued = max_queued
        self._lost: Counter[str] = Counter()
        self._lost_since_ns = OPEN
        self._lock = threading.Lock()
        self._clock_ns = clock_ns

    def put(self, event: Event | Errand) -> None:
        """Hand something to the engine; dropped and counted when the queue is full."""
        if self._queue.qsize() < self._max_queued:
            self._queue.put(event)
        else:
            with self._lock:
                unseen_ns = OPEN if callable(event) else unseen_since(event)
                self._lost_since_ns = min(self._lost_since_ns, unseen_ns, self._clock_ns())
                self._lost[type(event).__name__] += 1

    def put_first(self, errand: Errand) -> None:
        """Hand the engine what somebody waits for: it is taken before all that is queued. The caller bounds these."""
        self._first.append(errand)
        self._queue.put(_nothing)  # wakes the engine where it waits for the queue

    def take(self, timeout_s: float) -> Event | Errand | None:
        """The next thing, or None when the time is up."""
        if self._first:
            return self._first.popleft()
        try:
            return self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return self._take_loss()

    def __len__(self) -> int:
        return self._queue.qsize()

    def _take_loss(self) -> SightLost | None:
        if not self._lost:
            return None
        with self._lock:
            lost, self._lost = self._lost, Counter()
            since_ns, self._lost_since_ns = self._lost_since_ns, OPEN
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(lost.items()))
        reason = f"events came faster than the engine could judge them: {kinds}"
        return SightLost(self._clock_ns(), "engine", reason, sum(lost.values()), since_ns)


def _nothing() -> None:
    """An errand that is none."""


def read_pipe(
    fd: int, put: Callable[[Event], None], stop: threading.Event, *, clock_ns: Callable[[], int] = time.time_ns
) -> None:
    """Turn the tracer's stream into events until `stop` or the end of the pipe.

    What cannot be decoded is told of as lost: the tracer is ours, so it means a half-written record.
    """
    decoder = msgspec.msgpack.Decoder(Event)
    unpacker = _new_unpacker()
    last_s = 0.0
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    while not stop.is_set():
        if not poller.poll(_POLL_MS):
            continue
        chunk = os.read(fd, READ_BYTES)
        if not chunk:
            return
        try:
            unpacker.feed(chunk)
            for record in unpacker:
                put(decoder.decode(record))
        except (ValueError, TypeError, msgspec.DecodeError, msgpack.UnpackException):
            put(SightLost(clock_ns(), "process", "a record of the tracer was damaged", 1))
            unpacker = _new_unpacker()
        now_s = time.monotonic()
        if now_s - last_s < BUSY_S:
            time.sleep(GATHER_S)
            now_s += GATHER_S
        last_s = now_s


def _new_unpacker() -> msgpack.Unpacker:
    return msgpack.Unpacker(max_buffer_size=64 * 1024 * 1024, max_bin_len=MAX_RECORD_BYTES)
