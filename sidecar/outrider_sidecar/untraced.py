"""Containers that the operator wants left untraced, told by name: who is meant is known when the endpoint has told.

Tracing somebody who was to be left alone may harm him, so a container counts as untraced until its name is known;
the answer is on its way in milliseconds. One whose name cannot be learnt stays untraced, and that is logged.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from outrider_sidecar.decode.metadata import TaskFacts
from outrider_sidecar.log import say
from outrider_sidecar.metadata import fetch_task
from outrider_sidecar.world.containers import container_id
from outrider_wire.errors import Unavailable

ASK_EVERY_S: Final = 0.05
GIVE_UP_AFTER_S: Final = 30.0


class UntracedContainers:
    """Says of a container, by the cgroup of one of its processes, whether it is left untraced.

    None: not known yet, ask again. It never waits: the endpoint is asked in a thread, in whichever process asks.
    """

    def __init__(
        self, names: tuple[str, ...], metadata_uri: str, *, fetch: Callable[[str], TaskFacts] = fetch_task
    ) -> None:
        self._names = frozenset(names)
        self._uri = metadata_uri
        self._fetch = fetch
        self._known: dict[str, str] = {}
        self._asked_since_s: dict[str, float] = {}
        self._next_s = 0.0
        self._asking = False

    def __call__(self, mnt_ns: int, cgroup: str) -> bool | None:
        """Whether that container is left untraced."""
        wanted = container_id(cgroup)
        if wanted in self._known:
            return self._known[wanted] in self._names
        now_s = time.monotonic()
        if not wanted or now_s - self._asked_since_s.setdefault(wanted, now_s) > GIVE_UP_AFTER_S:
            say(f"the container of mount namespace {mnt_ns} has no name; it is left untraced, as tracing_off is set")
            self._known[wanted] = next(iter(self._names))
            return True
        if not self._asking and now_s >= self._next_s:
            self._asking, self._next_s = True, now_s + ASK_EVERY_S
            threading.Thread(target=self._ask, name="outrider-untraced", daemon=True).start()
        return None

    def _ask(self) -> None:
        try:
            self._known |= {c.id: c.name for c in self._fetch(self._uri).containers if c.id}
        except Unavailable:
            pass  # asked again until it answers, or for GIVE_UP_AFTER_S
        finally:
            self._asking = False
