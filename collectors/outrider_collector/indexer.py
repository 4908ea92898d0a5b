"""The indexer: follows the spool and brings what it holds into the store, behind those who are answered.

What was spooled just now comes by hand, already checked. Where it cannot keep up, or the store refuses for a while,
it reads the spool from where the store says it has come. One transaction moves that position and writes what follows
from it, so a crash at any point neither loses nor doubles. Enrolments and looks for silence take their turn between.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from outrider_collector.acceptor import Checked
from outrider_collector.group import Group, Spooled
from outrider_collector.keyring import KeyRing
from outrider_collector.spool import Frame, Place, Spool
from outrider_collector.spooling import Busy, StoreUnavailable
from outrider_collector.store.batches import load_spool_position, save_spool_position
from outrider_collector.store.database import writing
from outrider_wire.batch import open_envelope, verify_envelope
from outrider_wire.errors import WireError

FOLLOWER: Final = "index"
MAX_GROUP: Final = 128
"""Most batches in one transaction."""
MAX_IN_HAND_BYTES: Final = 64 << 20
"""Past so many bytes in memory the rest is read from the spool when its turn comes."""
MAX_CALLS: Final = 256
RETRY_S: Final = 1.0
GATHER_S: Final = 0.05
"""While batches come in quick succession, so long are they gathered: a transaction costs as much as twenty of them. The
first after a quiet moment is indexed at once."""
SLICE_S: Final = 0.01

log = logging.getLogger("outrider.collector")

Call = Callable[[Connection], Any]


class _Job(Struct):
    call: Call
    answer: "Future[Any]"


class Indexer:
    """The thread that writes the store. `take` is called with what is on disk, in its order.

    `keep_bytes` is how much of the spool stays once it is indexed; `followers` tells up to where others have read it.
    """

    def __init__(
        self,
        engine: Engine,
        spool: Spool,
        keys: KeyRing,
        *,
        collector: str,
        keep_bytes: int = 4 << 30,
        followers: Callable[[], list[Place]] = list,
    ) -> None:
        self._keep_bytes, self._followers = keep_bytes, followers
        self._engine, self._spool, self._keys, self._collector = engine, spool, keys, collector
        self._turn = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._in_hand: deque[Spooled] = deque()
        self._in_hand_bytes = 0
        self._behind, self._retry_at_s, self._closing = True, 0.0, False
        self._indexed_at_s = 0.0
        self._position = Place(0, 0)
        self._reader: Iterator[Frame] | None = None
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    @property
    def position(self) -> Place:
        """Up to where the spool is indexed."""
        return self._position

    @property
    def caught_up(self) -> bool:
        """Whether what was on disk a moment ago is indexed."""
        with self._turn:
            return not (self._behind or self._in_hand)

    def start(self) -> None:
        """Begin where the store says. Raises StoreUnavailable."""
        try:
            with self._engine.connect() as connection:
                self._position = Place(*load_spool_position(connection, self._collector, FOLLOWER))
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"the store refuses: {error}") from error
        self._thread.start()

    def close(self) -> None:
        """Index what is there, as far as the store takes it, then stop."""
        if self._thread.is_alive():
            with self._turn:
                self._closing = True
                self._turn.notify()
            self._thread.join()

    def take(self, frames: list[Frame], checked: list[Checked]) -> None:
        """Hand over what was just spooled."""
        with self._turn:
            if not self._behind and self._in_hand_bytes < MAX_IN_HAND_BYTES:
                self._in_hand += [Spooled(each.batch, frame) for frame, each in zip(frames, checked, strict=True)]
                self._in_hand_bytes += sum(len(each.data) for each in checked)
            else:
                self._fall_behind()
            self._turn.notify()

    def call(self, work: Call) -> "Future[Any]":
        """Have something done in a durable transaction of its own. Raises Busy."""
        job = _Job(work, Future())
        with self._turn:
            if len(self._jobs) >= MAX_CALLS:
                raise Busy
            self._jobs.append(job)
            self._turn.notify()
        return job.answer

    def wait(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything spooled so far is indexed; whether it was in time."""
        deadline_s = time.monotonic() + timeout_s
        while not self._is_caught_up():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.002)
        return True

    def _is_caught_up(self) -> bool:
        with self._turn:
            waits = self._behind or self._in_hand or self._jobs
            return not waits and self._position >= self._spool.written

    def _fall_behind(self) -> None:
        self._behind, self._reader = True, None
        self._in_hand.clear()
        self._in_hand_bytes = 0

    def _run(self) -> None:
        while True:
            self._gather()
            with self._turn:
                while not self._has_work():
                    if self._closing:
                        return
                    self._turn.wait(self._patience_s())
                jobs, self._jobs = self._jobs, deque()
            self._index_some()  # first: who asks for something means it after what was answered before
            for job in jobs:
                self._do(job)

    def _gather(self) -> None:
        """Sleep rather than wait: whoever hands over a batch would wake us, and hold up the answers to others."""
        until_s = self._indexed_at_s + GATHER_S
        while self._in_hand and not self._is_wanted():
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, SLICE_S))

    def _is_wanted(self) -> bool:
        return bool(self._jobs) or self._closing or self._behind or len(self._in_hand) >= MAX_GROUP

    def _has_work(self) -> bool:
        return bool(self._jobs or self._in_hand) or (self._behind and time.monotonic() >= self._retry_at_s)

    def _patience_s(self) -> float | None:
        return max(self._retry_at_s - time.monotonic(), 0.001) if self._behind else None

    def _do(self, job: _Job) -> None:
        try:
            result = self._call(job)
        except WireError as error:
            _settle(job, error)
        except (SQLAlchemyError, OSError) as error:
            log.error("the store refuses: %s", error)
            _settle(job, StoreUnavailable("the store refuses"))
        else:
            if job.answer.set_running_or_notify_cancel():
                job.answer.set_result(result)

    def _call(self, job: _Job) -> Any:
        """In a transaction; once more where another collector was faster to write what may be there only once."""
        try:
            with writing(self._engine) as connection:
                return job.call(connection)
        except IntegrityError:
            with writing(self._engine) as connection:
                return job.call(connection)

    def _index_some(self) -> None:
        try:
            spooled, end = self._read_behind() if self._behind else self._take_in_hand()
            if end is not None and end != self._position:
                self._index(spooled, end)
        except (SQLAlchemyError, OSError) as error:
            log.error("the index is behind the spool: %s", error)
            with self._turn:
                self._fall_behind()
                self._retry_at_s = time.monotonic() + (RETRY_S if not self._closing else 1e9)

    def _index(self, spooled: list[Spooled], end: Place) -> None:
        with writing(self._engine, durable=False) as connection:
            Group(connection, self._collector).index(spooled)
            save_spool_position(connection, self._collector, FOLLOWER, end.file, end.offset)
        self._indexed_at_s = time.monotonic()
        begun = end.file != self._position.file
        self._position = end
        if begun:
            self._let_go()

    def _let_go(self) -> None:
        """Of the spool's files keep as much as is wanted, and what somebody who follows it has not read yet."""
        others = self._followers()
        below = min((place.file for place in (self._position, *others)), default=0)
        try:
            self._spool.forget(below, self._keep_bytes)
        except OSError as error:
            log.error("old files of the spool cannot be removed: %s", error)

    def _take_in_hand(self) -> tuple[list[Spooled], Place | None]:
        with self._turn:
            taken = [self._in_hand.popleft() for _ in range(min(MAX_GROUP, len(self._in_hand)))]
            self._in_hand_bytes -= sum(len(each.frame.data) for each in taken)
        return taken, taken[-1].frame.end if taken else None

    def _read_behind(self) -> tuple[list[Spooled], Place | None]:
        """The next batches of the spool. At its end we are behind no longer: what comes then comes by hand."""
        if self._reader is None:
            self._reader = self._spool.read_from(self._position)
        frames = list(islice(self._reader, MAX_GROUP))
        if not frames:
            with self._turn:
                self._reader = None
                self._behind = self._position < self._spool.written
            return [], None
        return [each for each in map(self._check, frames) if each is not None], frames[-1].end

    def _check(self, frame: Frame) -> Spooled | None:
        try:
            envelope = open_envelope(frame.data)
            key = self._keys.find(envelope.agent)
            if key is None:
                raise WireError("unknown-agent", "no such agent is known")
            return Spooled(verify_envelope(envelope, key.public_key), frame)
        except WireError as error:
            log.warning("a spooled batch at %s is not indexed: %s", frame.place, error)
            return None


def _settle(job: _Job, error: Exception) -> None:
    if job.answer.set_running_or_notify_cancel():
        job.answer.set_exception(error)
