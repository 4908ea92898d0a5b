"""The acceptor: is this batch from whom it says, and new? Then it is for the spool. No look into its records.

What a batch says is read behind, by the indexer: here only what a sender must be told at once is found out. So the
answer waits for a signature, two digests and the disk, and for no database.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct

from outrider_collector.keyring import KeyRing
from outrider_collector.limits import Limiter
from outrider_wire.batch import MAX_BATCH_BYTES, Batch, open_envelope, verify_envelope
from outrider_wire.blobs import BlobFacts
from outrider_wire.errors import WireError

MAX_REMEMBERED = 100_000
"""Batches remembered, the latest, some 300 bytes each: a retry comes soon. What is older, the indexer knows."""

DOUBT_NS: Final = 60_000_000_000
"""A copy that comes so long after the batch, or after another such copy, may be a replay: the indexer finds out."""

Verdict = Literal["new", "duplicate", "fork"]


class Checked(Struct, frozen=True):
    """A batch that its agent signed. `verdict` is what this collector's memory says of its number.

    `losses` is how often the disk had refused batches when it was checked. `doubtful`: a copy that comes late.
    """

    batch: Batch
    data: bytes
    received_at_ns: int
    verdict: Verdict
    losses: int = 0
    doubtful: bool = False

    @property
    def agent(self) -> str:
        return self.batch.header.agent

    @property
    def sequence(self) -> int:
        return self.batch.header.sequence


class _Known(Struct, frozen=True, gc=False):
    digest: bytes
    shed: tuple[int, int]
    at_ns: int


class Acceptor:
    """Checks batches, and remembers those it took. `check` is for one thread, all else for any."""

    def __init__(
        self,
        keys: KeyRing,
        limiter: Limiter,
        *,
        max_bytes: int = MAX_BATCH_BYTES,
        clock_ns: Callable[[], int],
    ) -> None:
        self._keys, self._limiter, self._max_bytes, self._clock_ns = keys, limiter, max_bytes, clock_ns
        self._known: OrderedDict[tuple[str, int], _Known] = OrderedDict()
        self._losses = 0
        self._lock = threading.Lock()

    def check(self, data: bytes) -> Checked:
        """Check a batch in the order that `outrider_wire.batch` gives, up to the digests of its blobs.

        Raises:
            WireError: any code of that module, or `quarantined`.
            NotAtHand: its agent is new here, and has to be asked for first.
            Limited: the agent sends more than its share.
        """
        envelope = open_envelope(data, max_bytes=self._max_bytes)
        key = self._keys.recall(envelope.agent)
        if key.status == "quarantined":
            raise WireError("quarantined", "this agent's enrolment was refused")
        batch = verify_envelope(envelope, key.public_key)
        check_blob(batch.findings, batch.header.findings)
        check_blob(batch.events, batch.header.events)
        self._limiter.spend(batch.header.agent, len(data))
        with self._lock:
            verdict, now_ns = self._judge(batch), self._clock_ns()
            doubtful = verdict == "duplicate" and self._is_late(batch, now_ns)
            if verdict == "new" or doubtful:
                self._remember(batch, now_ns)
            return Checked(batch, data, now_ns, verdict, self._losses, doubtful)

    def forget(self, lost: list[Checked]) -> None:
        """These could not be kept: when they come again they are new."""
        with self._lock:
            self._losses += 1
            for checked in lost:
                self._known.pop((checked.agent, checked.sequence), None)

    def stands(self, checked: Checked) -> bool:
        """Whether what was said of a batch still holds: nothing was lost meanwhile that it may be a copy of."""
        return checked.verdict == "new" or checked.losses == self._losses

    def _is_late(self, batch: Batch, now_ns: int) -> bool:
        return now_ns - self._known[batch.header.agent, batch.header.sequence].at_ns > DOUBT_NS

    def _remember(self, batch: Batch, now_ns: int) -> None:
        there = self._known.get((batch.header.agent, batch.header.sequence))
        shed = min(there.shed, _shed(batch)) if there is not None else _shed(batch)
        self._known[batch.header.agent, batch.header.sequence] = _Known(batch.digest, shed, now_ns)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    def _judge(self, batch: Batch) -> Verdict:
        there = self._known.get((batch.header.agent, batch.header.sequence))
        if there is None:
            return "new"
        if there.digest != batch.digest:
            return "fork"
        fuller = any(now < before for now, before in zip(_shed(batch), there.shed, strict=True))
        return "new" if fuller else "duplicate"


def check_blob(blob: bytes, facts: BlobFacts) -> None:
    """Hold a blob against its signed digest; one that was shed is empty. Raises WireError `bad-digest`."""
    if blob and hashlib.sha256(blob).digest() != facts.sha256:
        raise WireError("bad-digest", "a blob is not the one that was signed")


def _shed(batch: Batch) -> tuple[int, int]:
    return batch.shed_findings, batch.shed_events
