"""Health: a small file beside the journal that says what the sidecar sees, kept fresh; asked by exec, never a port."""

import json
import os
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from outrider_sidecar.sensors import Capability
from outrider_wire.errors import Unavailable

FILE: Final = "ready"
FRESH_FOR_S: Final = 15.0
WRITE_EVERY_S: Final = 2.0
READY_WITHIN_S: Final = 3.0
"""Longest that the first word waits for what matters most to be seen: others wait for it in turn."""


class Health:
    """Writes the file; a full disk is no reason to stop guarding."""

    def __init__(self, directory: Path, capabilities: tuple[Capability, ...]) -> None:
        self._path = directory / FILE
        self._capabilities = capabilities
        self._next_s = 0.0
        self._began_s = time.monotonic()
        self.ready = False

    def begin(self, facts: dict[str, Any], *, seeing: bool, now_s: float | None = None) -> bool:
        """Say for the first time that all is well, once `seeing` or after READY_WITHIN_S; whether that was said."""
        now_s = time.monotonic() if now_s is None else now_s
        if not self.ready and (seeing or now_s - self._began_s >= READY_WITHIN_S):
            self.ready = True
            self.write(facts, now_s=now_s)
        return self.ready

    def write(self, facts: dict[str, Any], *, now_s: float | None = None) -> None:
        """Say that all is well, at most each WRITE_EVERY_S, and nothing before `begin` has."""
        now_s = time.monotonic() if now_s is None else now_s
        if not self.ready or now_s < self._next_s:
            return
        self._next_s = now_s + WRITE_EVERY_S
        content = {
            "at_ns": time.time_ns(),
            "pid": os.getpid(),
            "capabilities": [msgspec.to_builtins(c) for c in self._capabilities],
            **facts,
        }
        draft = self._path.with_suffix(".tmp")
        try:
            draft.write_text(json.dumps(content))
            draft.replace(self._path)
        except OSError:
            pass  # the next write may fit

    def remove(self) -> None:
        """The sidecar ends: nobody is ready any more."""
        self._path.unlink(missing_ok=True)


def read_health(directory: Path) -> dict[str, Any]:
    """What the sidecar last said. Raises Unavailable where it said nothing, or nothing lately."""
    path = directory / FILE
    try:
        said = json.loads(path.read_text())
        age_s = time.time() - said["at_ns"] / 1e9
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"no sidecar is running here: {path}: {error}", "start it with `outrider run`") from error
    if age_s > FRESH_FOR_S:
        raise Unavailable(f"the sidecar has said nothing for {age_s:.0f} s", "see its log; it may be stopped")
    return dict(said)
