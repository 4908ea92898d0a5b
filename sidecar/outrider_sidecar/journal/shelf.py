"""The shelf: sealed batches in the order they are to be sent, within bounds.

When there is not room for all, the oldest events go first, then the oldest findings, then the oldest batches
whole (the collector reports that gap). Each loss is handed back to be counted and signed.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from outrider_sidecar.journal.sealed import ShelvedBatch, shelve
from outrider_wire.batch import SealedBatch

MAX_HELD_BYTES = 8 << 20
"""Most bytes of batches held in memory while the disk is full."""

Loss = tuple[str, int]


class Shelf:
    """Sealed batches, oldest first. `disk_bytes` and `held_bytes` are kept up to date."""

    def __init__(self) -> None:
        self._batches: deque[ShelvedBatch] = deque()
        self.disk_bytes = 0
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[ShelvedBatch]:
        return iter(self._batches)

    def extend(self, batches: Iterable[ShelvedBatch]) -> None:
        """Add batches found at start."""
        for batch in batches:
            self._add(batch)

    def put(self, directory: Path, sealed: SealedBatch) -> ShelvedBatch:
        """Add a new batch, on disk if the disk takes it; then those that had to wait in memory may follow."""
        batch = shelve(directory, sealed)
        self._add(batch)
        if batch.path is not None and self.held_bytes:
            self._settle(directory)
        return batch

    def take(self, batch: ShelvedBatch) -> bool:
        """Take a batch off the shelf; False when it is not there."""
        try:
            self._batches.remove(batch)
        except ValueError:
            return False
        self._count(batch, -batch.size_bytes)
        return True

    def has_agent(self, agent: str) -> bool:
        """True while a batch of this agent is to be sent."""
        return any(batch.agent == agent for batch in self._batches)

    def shed_to_fit(self, limit_bytes: int) -> list[Loss]:
        """Make room until at most `limit_bytes` lie on disk, and `MAX_HELD_BYTES` in memory."""
        losses: list[Loss] = []
        for on_disk, limit in ((True, limit_bytes), (False, MAX_HELD_BYTES)):
            if self._used(on_disk) > limit:
                self._shed(on_disk, limit, losses)
        return losses

    def _shed(self, on_disk: bool, limit: int, losses: list[Loss]) -> None:
        mine = [batch for batch in self._batches if (batch.path is not None) == on_disk]
        for step in (self._shed_events, self._shed_findings, self._shed_whole):
            for batch in mine:
                if self._used(on_disk) <= limit:
                    return
                loss = step(batch)
                if loss[1]:
                    losses.append(loss)

    def _shed_events(self, batch: ShelvedBatch) -> Loss:
        if not batch.whole:
            return "shed-events", 0
        won, number = batch.cut_events()
        self._count(batch, -won)
        return "shed-events", number if won else 0

    def _shed_findings(self, batch: ShelvedBatch) -> Loss:
        won, number = batch.cut_findings()
        self._count(batch, -won)
        return "shed-findings", number if won else 0

    def _shed_whole(self, batch: ShelvedBatch) -> Loss:
        self.take(batch)
        batch.remove()
        return "shed-batches", 1

    def _used(self, on_disk: bool) -> int:
        return self.disk_bytes if on_disk else self.held_bytes

    def _settle(self, directory: Path) -> None:
        for batch in self._batches:
            if batch.data is not None:
                if not batch.settle(directory):
                    return
                self.held_bytes -= batch.size_bytes
                self.disk_bytes += batch.size_bytes

    def _add(self, batch: ShelvedBatch) -> None:
        self._batches.append(batch)
        self._count(batch, batch.size_bytes)

    def _count(self, batch: ShelvedBatch, change: int) -> None:
        if batch.path is not None:
            self.disk_bytes += change
        else:
            self.held_bytes += change
