"""Naming containers: the metadata endpoint is asked in a thread of its own whenever a container has no name yet."""

import threading
import time
from typing import TYPE_CHECKING, Final

from outrider_sidecar.decode.metadata import TaskFacts
from outrider_sidecar.log import say
from outrider_sidecar.metadata import fetch_self, fetch_task
from outrider_sidecar.notices import tell_notices
from outrider_wire.errors import Unavailable

if TYPE_CHECKING:
    from outrider_sidecar.guard import Guard

WAITS_S: Final = (0.0, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Pauses between askings while names are missing; the last repeats."""


class Naming:
    """Keeps the containers' names. `chore` runs in the engine's thread and never waits."""

    def __init__(self, metadata_uri: str) -> None:
        self._uri = metadata_uri
        self._self_id = ""
        self._asking = False
        self._tries = 0
        self._next_s = 0.0
        self._known = 0

    def chore(self, guard: "Guard") -> None:
        """Ask where somebody is nameless, in a thread: at once for a new container, then not too often."""
        guard.containers.may_be_named = bool(self._uri)
        tell_notices(guard)
        count = len(guard.containers.all())
        if count != self._known:
            self._known, self._tries, self._next_s = count, 0, 0.0
        if not self._uri or self._asking or time.monotonic() < self._next_s:
            return
        if guard.containers.task is not None and not guard.containers.unnamed():
            return
        self._asking = True
        self._next_s = time.monotonic() + WAITS_S[min(self._tries + 1, len(WAITS_S) - 1)]
        self._tries += 1
        threading.Thread(target=self._ask, args=(guard,), name="outrider-naming", daemon=True).start()

    def _ask(self, guard: "Guard") -> None:
        try:
            self._self_id = self._self_id or fetch_self(self._uri).id
            facts = fetch_task(self._uri)
        except Unavailable as error:
            if self._tries == 1:
                say(f"containers are not named yet: {error}")
            self._asking = False
            return
        guard.intake.put_first(lambda: self._learn(guard, facts))

    def _learn(self, guard: "Guard", facts: TaskFacts) -> None:
        guard.containers.learn(facts, self_id=self._self_id)
        guard.rebase()
        self._asking = False
