"""The journal's face: append from the engine, seal and ship from the shipper's thread, never a raise into either.

Two locks: `_lock` for the open segment (held for one write), `_sealing` for everything sealed. Whoever takes both
takes `_sealing` first.
"""

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from outrider_sidecar.journal.directory import hold_lock, make_private
from outrider_sidecar.journal.introductions import Introductions
from outrider_sidecar.journal.leftovers import (
    ENROLMENT_NAME,
    WaitingSegment,
    adopt_segments,
    predecessors,
    sealed_by,
    segment_name,
    sweep,
)
from outrider_sidecar.journal.memory import Overflow
from outrider_sidecar.journal.position import Position, read_position, write_position
from outrider_sidecar.journal.records import (
    EVENT,
    FINDING,
    LOSS,
    MAX_RECORD_BYTES,
    Contents,
    encode_loss,
    encode_record,
    read_contents,
)
from outrider_sidecar.journal.sealed import ShelvedBatch, write_whole
from outrider_sidecar.journal.sealing import seal_within_bounds
from outrider_sidecar.journal.segment import Segment
from outrider_sidecar.journal.shelf import Shelf
from outrider_wire.batch import BatchFacts, SealedBatch, seal_batch
from outrider_wire.enrolment import EnrolRequest, encode_request, read_request
from outrider_wire.errors import ConfigError, WireError
from outrider_wire.events import ContainerSeen, Event
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

SEGMENT_RECORDS = 500
"""Records after which a segment is closed and waits to be sealed."""

SEGMENT_BYTES = 1 << 20
"""Bytes after which it is."""

SHED_TO = 0.9
"""Sealed batches are shed to this share of the limit, so that there is room for what comes before the next seal."""

FINDINGS_RESERVE = 1.25
"""Findings are still written to this multiple of the limit, until the next seal has shed."""


class JournalStats(Struct, frozen=True):
    """How full the journal is, and what it could not keep: `faults` counts refusals by the disk."""

    disk_bytes: int
    memory_bytes: int
    pending: int
    parked: int
    shed_batches: int
    faults: int


class Journal:
    """The record of what is to be sent. Made by `open`; safe from any thread."""

    def __init__(self, root: Path, key: SigningKey, limit_bytes: int, clock_ns: Callable[[], int]) -> None:
        self.agent = key.agent
        self.wake = threading.Event()
        """Set when something should be sealed now: a finding came, or a segment is full."""
        self._root, self._own = root, root / key.agent
        self._key, self._limit, self._clock_ns = key, limit_bytes, clock_ns
        self._lock, self._sealing = threading.Lock(), threading.RLock()
        self._overflow = Overflow()
        self._introduced, self._introduced_in_memory = Introductions(), Introductions()
        self._shelf = Shelf()
        self._waiting: deque[WaitingSegment] = deque()
        self._position = Position()
        self._urgent = False
        self._records = 0
        self._segment_bytes = 0
        self._parked = self._shed = self._faults = 0
        self._held_lock = -1

    @classmethod
    def open(
        cls, root: Path, *, limit_bytes: int, key: SigningKey, clock_ns: Callable[[], int] = time.time_ns
    ) -> "Journal":
        """Open the journal in `root` for the agent that `key` is, and take over what others left there.

        Raises:
            ConfigError: the place cannot be used, or another process writes to it.
        """
        journal = cls(root, key, limit_bytes, clock_ns)
        try:
            make_private(root)
            journal._held_lock = hold_lock(root)
            journal._take_over()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise ConfigError(f"the journal {root} cannot be used: {error.strerror or error}") from error
            journal._faults += 1  # a full disk: begin in memory
        journal._open_segment(journal._position.sequence + len(journal._waiting))
        if journal._waiting:
            journal.wake.set()
        return journal

    def append_finding(self, finding: Finding) -> None:
        """Record a finding; on return it outlives this process (or is in memory, on a full disk)."""
        self._append(FINDING, finding, int(self._limit * FINDINGS_RESERVE))
        self._urgent = True
        self.wake.set()

    def append_event(self, event: Event, *, about: ContainerSeen | None = None) -> None:
        """Record an event, after `about` where the same segment has not got that yet.

        A batch is made of a segment, so each can be read by itself. What waits in memory, on a full disk, goes with
        whichever batch is made next, and is introduced by itself.
        """
        self._append(EVENT, event, self._limit, about)

    def note_lost(self, sense: str, number: int) -> None:
        """Record that `number` of something were lost. Call it with sums: each call is one write."""
        framed = encode_record(LOSS, encode_loss(sense[:64], number))
        with self._lock:
            if self._used_bytes() < self._limit and self._open.append(framed):
                self._segment_bytes += len(framed)
            else:
                self._overflow.count_lost(sense[:64], number)

    @property
    def urgent(self) -> bool:
        """True while a finding, or a full segment, waits to be sealed."""
        return self._urgent or bool(self._waiting)

    def seal(self, facts: BatchFacts, *, force: bool = False, final: bool = False) -> SealedBatch | None:
        """Make a batch of the oldest unsealed records; None when there are none and neither flag asks for one."""
        with self._sealing:
            taken = self._take(force or final)
            if taken is None:
                return None
            segment, contents = taken
            self._read_into(segment, contents)
            sealed = self._seal(facts, segment, contents, final)
            self._store(sealed, segment)
            self._shed_to_fit()
            return sealed

    def pending(self) -> tuple[ShelvedBatch, ...]:
        """Sealed batches in the order they are to be sent: predecessors' first."""
        with self._sealing:
            return tuple(self._shelf)

    def head(self) -> ShelvedBatch | None:
        """The next batch to send."""
        with self._sealing:
            return next(iter(self._shelf), None)

    def acknowledge(self, batch: ShelvedBatch) -> None:
        """The collector has it: forget it."""
        with self._sealing:
            if self._shelf.take(batch):
                batch.remove()
                self._sweep(batch.agent)

    def park(self, batch: ShelvedBatch) -> None:
        """The collector refuses it for good: put it aside, so that the rest gets through."""
        with self._sealing:
            if self._shelf.take(batch):
                batch.park()
                self._parked += 1

    def keep_enrolment(self, request: EnrolRequest) -> None:
        """Keep the agent's enrolment: should it die unheard, its successor enrols it, and its batches count."""
        write_whole(self._own / ENROLMENT_NAME, encode_request(replace(request, token="", aws=None)))

    def kept_enrolment(self, agent: str) -> EnrolRequest | None:
        """The enrolment that a predecessor kept, without what vouched for it; None when there is none."""
        try:
            return read_request((self._root / agent / ENROLMENT_NAME).read_bytes())
        except (OSError, WireError):
            return None

    def stats(self) -> JournalStats:
        """How full it is and what it could not keep."""
        return JournalStats(
            disk_bytes=self._used_bytes(),
            memory_bytes=self._overflow.size_bytes + self._shelf.held_bytes,
            pending=len(self._shelf),
            parked=self._parked,
            shed_batches=self._shed,
            faults=self._faults,
        )

    def close(self) -> None:
        """Close the files. What was appended stays for the next process."""
        with self._sealing, self._lock:
            self._open.close()
            if self._held_lock >= 0:
                lock, self._held_lock = self._held_lock, -1
                os.close(lock)

    def _take_over(self) -> None:
        make_private(self._own)
        self._position = read_position(self._own)
        others = predecessors(self._root, self._own)
        self._shelf.extend(sealed_by([*others, self._own]))
        self._waiting.extend(adopt_segments(self._own, others, self._position.sequence))
        self._segment_bytes = sum(each.size_bytes for each in self._waiting)
        for directory in others:
            sweep(directory)

    def _append(self, letter: bytes, record: Finding | Event, limit: int, about: ContainerSeen | None = None) -> None:
        sense = "journal-findings" if letter == FINDING else "journal-events"
        payload = _encode(record)
        if len(payload) > MAX_RECORD_BYTES:
            return self.note_lost("unencodable", 1)
        framed = encode_record(letter, payload)
        said = record if isinstance(record, ContainerSeen) else about
        with self._lock:
            before = self._introduced.missing(about)
            framed = b"".join((*(encode_record(EVENT, each) for each in before), framed))
            if self._used_bytes() + len(framed) > limit:
                self._overflow.count_lost(sense, 1)
            elif self._open.append(framed):
                self._segment_bytes += len(framed)
                self._records += len(before) + 1
                self._introduced.note(said)
            else:
                self._faults += 1
                for each in self._introduced_in_memory.missing(about):
                    self._overflow.add(EVENT, each)
                self._introduced_in_memory.note(said)
                self._overflow.add(letter, payload)
                self._records += 1
            if self._records >= SEGMENT_RECORDS or self._open.size_bytes >= SEGMENT_BYTES:
                self._rotate()
                self.wake.set()
        return None

    def _open_segment(self, sequence: int) -> None:
        self._open_sequence = sequence
        self._records = 0
        self._introduced.forget()
        self._open = Segment(self._own / segment_name(sequence))

    def _rotate(self) -> None:
        self._open.close()
        self._waiting.append(WaitingSegment(self._open_sequence, self._open.path, self._open.size_bytes))
        self._open_segment(self._open_sequence + 1)

    def _take(self, force: bool) -> tuple[WaitingSegment, Contents] | None:
        """The oldest segment that waits, the open one if none does, with what memory holds besides."""
        with self._lock:
            if not self._waiting:
                if not (force or self._open.size_bytes or not self._overflow.empty):
                    return None
                self._rotate()
            segment = self._waiting.popleft()
            contents = Contents()
            if not segment.recovered_from:
                self._overflow.drain_into(contents)
                self._introduced_in_memory.forget()
            if not self._waiting:
                self._urgent = False
            return segment, contents

    def _read_into(self, segment: WaitingSegment, contents: Contents) -> None:
        try:
            found = read_contents(segment.path.read_bytes())
        except OSError:
            found = Contents(damaged_bytes=segment.size_bytes)
        contents.findings[:0] = found.findings
        contents.events[:0] = found.events
        for sense, number in found.lost.items():
            contents.add_loss(sense, number)
        if found.damaged_bytes:
            contents.add_loss("journal-damaged", 1)

    def _seal(self, facts: BatchFacts, segment: WaitingSegment, contents: Contents, final: bool) -> SealedBatch:
        return seal_within_bounds(
            lambda facts, contents: seal_batch(
                self._key,
                facts,
                sequence=segment.sequence,
                previous=self._position.previous,
                sealed_at_ns=self._clock_ns(),
                findings=contents.findings,
                events=contents.events,
                lost=contents.lost,
                final=final,
                recovered_from=segment.recovered_from,
            ),
            facts,
            contents,
        )

    def _store(self, sealed: SealedBatch, segment: WaitingSegment) -> None:
        """Batch first, then the position, then the segment goes: a crash between loses and doubles nothing."""
        batch = self._shelf.put(self._own, sealed)
        old, self._position = self._position, Position(sealed.header.sequence + 1, sealed.digest)
        try:
            write_position(self._own, old, self._position)
            segment.path.unlink(missing_ok=True)
        except OSError:
            self._faults += 1
        with self._lock:
            self._faults += batch.path is None
            self._segment_bytes -= segment.size_bytes

    def _shed_to_fit(self) -> None:
        losses = self._shelf.shed_to_fit(int(self._limit * SHED_TO) - self._segment_bytes)
        with self._lock:
            self._shed += len(losses)
            for sense, number in losses:
                self._overflow.count_lost(sense, number)

    def _used_bytes(self) -> int:
        return self._shelf.disk_bytes + self._segment_bytes

    def _sweep(self, agent: str) -> None:
        if agent != self.agent and not self._shelf.has_agent(agent):
            sweep(self._root / agent)


def _encode(record: Finding | Event) -> bytes:
    """The record's payload; one that is too long where it cannot be encoded."""
    try:
        return msgspec.msgpack.encode(record)
    except (ValueError, OverflowError):  # text that was not cleaned, or a number of more than 64 bits
        return bytes(MAX_RECORD_BYTES + 1)
