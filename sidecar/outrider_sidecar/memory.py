"""What outlives a restart of the sidecar, besides the journal: the drift records, and when sight was last had.

A container's restart keeps its upper layer, and the sidecar's restart keeps the guarded containers: what was new
before is new after. The file lies beside the journal, is written aside and renamed, and one that cannot be read
is as none.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from outrider_sidecar.world.drift import DriftState
from outrider_wire.events import SightLost

if TYPE_CHECKING:
    from outrider_sidecar.guard import Guard

FILE: Final = "memory"
KEEP_EVERY_S: Final = 5.0
MAX_BYTES: Final = 64 * 1024 * 1024


class Remembered(Struct, frozen=True):
    """One container's drift record, by its mount namespace and id."""

    mnt_ns: int
    id: str
    drift: DriftState


class State(Struct, frozen=True):
    """The whole file. `boot` tells another boot of the machine, where namespaces mean other containers."""

    kept_at_ns: int
    boot: str
    containers: tuple[Remembered, ...] = ()


class Memory:
    """Keeps and recalls. `chore` runs in the engine's thread."""

    def __init__(self, directory: Path, *, boot_id: Path = Path("/proc/sys/kernel/random/boot_id")) -> None:
        self._path = directory / FILE
        self._boot = boot_id.read_text().strip()
        self._next_s = 0.0
        self._before: dict[int, Remembered] = {}

    def recall(self, guard: "Guard") -> None:
        """Take up what an earlier sidecar of this task kept, and say for how long nobody looked."""
        try:
            state = msgspec.msgpack.decode(self._path.read_bytes()[:MAX_BYTES], type=State)
        except (OSError, msgspec.DecodeError):
            return
        if state.boot != self._boot:
            return
        self._before = {remembered.mnt_ns: remembered for remembered in state.containers}
        guard.earlier_drift = self._earlier
        now_ns = time.time_ns()
        guard.unguarded_for_ms = max(0, now_ns - state.kept_at_ns) // 1_000_000
        guard.intake.put(
            SightLost(now_ns, "sidecar", "the sidecar was not running; it was started anew", None, state.kept_at_ns)
        )

    def chore(self, guard: "Guard") -> None:
        """Keep the state every few seconds."""
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + KEEP_EVERY_S
            self.keep(guard)

    def keep(self, guard: "Guard") -> None:
        """Write the state; a full disk keeps the last one."""
        containers = tuple(Remembered(c.mnt_ns, c.id, c.drift.state()) for c in guard.containers.all())
        draft = self._path.with_suffix(".tmp")
        try:
            draft.write_bytes(msgspec.msgpack.encode(State(time.time_ns(), self._boot, containers)))
            draft.replace(self._path)
        except OSError:
            return

    def _earlier(self, mnt_ns: int, container_id: str) -> DriftState | None:
        """What was kept of that container: a namespace's number alone may be another's by now."""
        before = self._before.pop(mnt_ns, None)
        if before is None or (container_id and before.id and container_id != before.id):
            return None
        return before.drift
