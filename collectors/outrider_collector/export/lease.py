"""The lease: of several collectors that share a store, one sends an export's findings.

Who holds it makes a number in its row grow. Another takes it over when it has seen the number stand still for
`LEASE_S` by its own monotonic clock: the clocks of two machines are never compared. A holder that was stopped for
longer finds its row taken when it next writes to it, and goes back to waiting; what it sent meanwhile is sent twice,
under the same id.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine

from outrider_collector.export.target import SEND_S
from outrider_collector.store.database import writing
from outrider_collector.store.exports import ExportRow, beat, load_export, release_lease, take_lease

BEAT_S: Final = 5.0
"""How often the holder says that it lives; it does so between two sends."""
LEASE_S: Final = SEND_S + 3 * BEAT_S


class Lease:
    """One export's lease, as one collector sees it. `clock` is monotonic, in seconds."""

    def __init__(
        self, engine: Engine, name: str, holder: str, clock: Callable[[], float], *, lease_s: float = LEASE_S
    ) -> None:
        self._engine, self._name, self._holder, self._clock, self._lease_s = engine, name, holder, clock, lease_s
        self._seen: ExportRow | None = None
        self._seen_s = 0.0
        self._beat_s = 0.0
        self._told_since_ns = 0
        self.held = False

    def take(self) -> ExportRow | None:
        """Try to get it; the export's row where that succeeds. Raises SQLAlchemyError."""
        with self._engine.connect() as connection:
            row = load_export(connection, self._name)
        if row is None or not self._is_free(row):
            return None
        with writing(self._engine) as connection:
            self.held = take_lease(connection, row, self._holder)
        self._beat_s = self._clock()
        return row if self.held else None

    def keep(self, *, error: str, failing_since_ns: int) -> bool:
        """Say that we live, when it is time to; False where it was taken from us. Raises SQLAlchemyError.

        That the target fails is said as soon as it begins: who looks at the exports is not to wait for the next beat.
        """
        now_s = self._clock()
        begins_to_fail = failing_since_ns not in (0, self._told_since_ns)
        if begins_to_fail or now_s - self._beat_s >= BEAT_S:
            with writing(self._engine) as connection:
                self.held = beat(connection, self._name, self._holder, error=error, failing_since_ns=failing_since_ns)
            self._beat_s, self._told_since_ns = now_s, failing_since_ns
        return self.held

    def release(self) -> None:
        """Let others have it. Raises SQLAlchemyError."""
        if self.held:
            self.held = False
            with writing(self._engine) as connection:
                release_lease(connection, self._name, self._holder)

    def _is_free(self, row: ExportRow) -> bool:
        """Nobody's, ours from before we died, or of one who has not moved for too long."""
        if row.holder in ("", self._holder):
            return True
        now_s = self._clock()
        if self._seen is None or (row.holder, row.beat) != (self._seen.holder, self._seen.beat):
            self._seen, self._seen_s = row, now_s
        return now_s - self._seen_s >= self._lease_s
