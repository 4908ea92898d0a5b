"""Messages that wait to be told of, and whether what was read for one exec is of the next one; see life.py."""

import time
from collections.abc import Iterable, Sequence
from typing import Final

from outrider_sidecar.linux.execfacts import Captured
from outrider_sidecar.linux.proc_connector import LifeMessage
from outrider_sidecar.sensors.host.people import Live

NEAR_NS: Final = 20_000_000
"""An exec message is this near to the moment its program was in place, also where the process had to wait between."""
HOLD_NS: Final = 2_000_000
"""So long nothing is told: the message of a next exec may be on its way, and many events at a time cost a fraction."""
HOLD_LATE_NS: Final = 20_000_000
"""The same for an exec that was read late."""
PROMPT_NS: Final = 200_000
"""No program of the ordinary kind gets to start another one within this."""


class Pending:
    """A message to be told of, whose it is (None: of one not followed), and of an exec what was read, and when.

    `after_ns` is when the process was forked or started something before, 0 where that is not known.
    """

    __slots__ = ("after_ns", "captured", "live", "message", "read_ns", "ready_ns")

    def __init__(
        self,
        message: LifeMessage,
        live: Live | None,
        captured: Captured | None = None,
        *,
        after_ns: int = 0,
        read_ns: tuple[int, int] | None = None,
    ) -> None:
        self.message = message
        self.live = live
        self.captured = captured
        self.after_ns = after_ns
        now_ns = time.monotonic_ns()
        self.read_ns = read_ns or (now_ns, now_ns)
        self.ready_ns = self.read_ns[1] + (HOLD_LATE_NS if captured is not None and self.is_late else HOLD_NS)

    @property
    def is_late(self) -> bool:
        """Whether what was read may be of another program that was started since."""
        return self.read_ns[1] - self.message.at_ns > PROMPT_NS


def is_of_next(before: Pending, message: LifeMessage, captured: Captured) -> bool:
    """Whether what was read for one exec is, or may be, of the next one of the same process."""
    began_ns, ended_ns = before.read_ns
    if message.at_ns <= began_ns:
        return True
    if message.at_ns > ended_ns + NEAR_NS:
        return False
    earlier = before.captured
    if earlier is None or earlier.birth is None or not earlier.stack.execfn:
        return True  # its own stack was not there to be read any more
    if captured.birth is not None:
        return earlier.birth.stack == captured.birth.stack
    return before.is_late


def look_ahead(messages: Sequence[LifeMessage]) -> Iterable[tuple[LifeMessage, bool]]:
    """Each message, and whether a later exec or the end of the same process waits behind it."""
    if len(messages) == 1:
        return ((messages[0], False),)
    found = []
    over: set[int] = set()
    for message in reversed(messages):
        found.append((message, message.pid in over))
        if message.what == "fork":
            over.discard(message.pid)
        elif message.what != "thread":
            over.add(message.pid)
    found.reverse()
    return found
