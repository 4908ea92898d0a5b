"""Looking after ourselves: root in a guarded container may set our limits and our oom score, and is found out.

It can (measured) call prlimit(2) on the sidecar's processes and write their oom_score_adj, which starves the sidecar
or gives it to the OOM killer first. Nothing ordinary does either while the sidecar runs: a change is told of once
for each new value.
"""

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from outrider_wire.events import SightLost

if TYPE_CHECKING:
    from outrider_sidecar.guard import Guard

CHECK_EVERY_S: Final = 2.0
LIMITS: Final = {
    "open files": resource.RLIMIT_NOFILE,
    "file size": resource.RLIMIT_FSIZE,
    "address space": resource.RLIMIT_AS,
    "processor time": resource.RLIMIT_CPU,
}

Standing = dict[str, str]


class SelfCheck:
    """Compares our limits and oom scores with those at the start. `chore` runs in the engine's thread."""

    def __init__(self, *, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._pids = {"engine": os.getpid(), "supervisor": os.getppid()}
        self._standing = self._read()
        self._next_s = 0.0

    def chore(self, guard: "Guard") -> None:
        """Look every few seconds, and tell of what was changed."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + CHECK_EVERY_S
        for reason in self.changes():
            guard.intake.put(SightLost(time.time_ns(), "sidecar", reason, tampered=True))

    def changes(self) -> list[str]:
        """What differs from when this was last asked, in words."""
        before, self._standing = self._standing, self._read()
        return [
            f"{what} was changed from outside, from {before[what]} to {value}"
            for what, value in self._standing.items()
            if what in before and before[what] != value
        ]

    def _read(self) -> Standing:
        found: Standing = {}
        for name, pid in self._pids.items():
            try:
                for limit, number in LIMITS.items():
                    found[f"the {name}'s limit on {limit}"] = str(resource.prlimit(pid, number))
                found[f"the {name}'s oom score"] = (self._proc / str(pid) / "oom_score_adj").read_text().strip()
            except (OSError, ProcessLookupError):
                continue  # it is being started anew
        return found
