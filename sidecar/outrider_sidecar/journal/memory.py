"""Records kept in memory while the disk takes none: bounded, and honest about what did not fit."""

from collections import deque

from outrider_sidecar.journal.records import EVENT, FINDING, Contents

MAX_MEMORY_BYTES = 4 << 20
"""Most payload kept in memory."""

MAX_MEMORY_RECORDS = 20_000


class Overflow:
    """What could not be written. Events make room for findings, never the other way round."""

    def __init__(self) -> None:
        self._findings: deque[bytes] = deque()
        self._events: deque[bytes] = deque()
        self._lost = Contents()
        self.size_bytes = 0

    def add(self, letter: bytes, payload: bytes) -> None:
        """Keep a record, or count it as lost."""
        if letter == FINDING:
            self._make_room(len(payload))
            self._keep(self._findings, payload, "journal-findings")
        elif letter == EVENT:
            self._keep(self._events, payload, "journal-events")

    def count_lost(self, sense: str, number: int) -> None:
        """Count something lost, to be told with the next batch."""
        self._lost.add_loss(sense, number)

    def drain_into(self, contents: Contents) -> None:
        """Hand everything over and be empty."""
        contents.findings.extend(self._findings)
        contents.events.extend(self._events)
        for sense, number in self._lost.lost.items():
            contents.add_loss(sense, number)
        self._findings.clear()
        self._events.clear()
        self._lost, self.size_bytes = Contents(), 0

    @property
    def empty(self) -> bool:
        """True when nothing waits here."""
        return not (self._findings or self._events or self._lost.lost)

    @property
    def has_findings(self) -> bool:
        """True when a finding waits here."""
        return bool(self._findings)

    def _keep(self, records: deque[bytes], payload: bytes, sense: str) -> None:
        full = self.size_bytes + len(payload) > MAX_MEMORY_BYTES
        if full or len(self._findings) + len(self._events) >= MAX_MEMORY_RECORDS:
            self.count_lost(sense, 1)
        else:
            records.append(payload)
            self.size_bytes += len(payload)

    def _make_room(self, needed: int) -> None:
        crowded = len(self._findings) + len(self._events) >= MAX_MEMORY_RECORDS
        while self._events and (crowded or self.size_bytes + needed > MAX_MEMORY_BYTES):
            self.size_bytes -= len(self._events.popleft())
            self.count_lost("journal-events", 1)
            crowded = False
