"""Looking at the sockets that no packet tells of in many network namespaces, one namespace after another.

Each look reads lists that the kernel makes up by walking tables of the whole machine, some 0.3 ms of work: to look at
fifty namespaces as often as at one would take a tenth of a core. So looks take turns, and all of them together a
share of a core; how often each namespace has its turn follows from that, and is said where it is seldom.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.sockets import POLL_S, SocketSensor
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import SightLost

SHARE: Final = 0.005
"""Most of a core that all looks take."""
SELDOM_S: Final = 2.0
"""A turn that comes less often than this is said."""


class Rounds:
    """The lookers of all namespaces, and whose turn it is. For one thread.

    `inside` brings the calling thread into a namespace for a while.
    """

    def __init__(
        self, inside: Callable[[int], AbstractContextManager[Any]], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._inside = inside
        self._monotonic = monotonic
        self._lookers: dict[int, SocketSensor] = {}
        self._due_s = monotonic()
        self._seldom_told = False

    def add(self, net_ns: int, looker: SocketSensor, emit: Emit, *, new: bool) -> None:
        """Look at another namespace, in which the calling thread is; in a `new` one everything is news."""
        if new:
            looker.look(emit)
        else:
            looker.begin(emit)
        self._lookers[net_ns] = looker

    def remove(self, net_ns: int) -> None:
        self._lookers.pop(net_ns, None)

    def wait_s(self) -> float | None:
        """How long until the next look is due; None without anything to look at."""
        return max(self._due_s - self._monotonic(), 0.0) if self._lookers else None

    def look(self, emit: Emit) -> None:
        """Look at the namespace whose turn it is, if it is time."""
        began_s = self._monotonic()
        if not self._lookers or began_s < self._due_s:
            return
        net_ns = next(iter(self._lookers))
        looker = self._lookers[net_ns] = self._lookers.pop(net_ns)  # last from now on
        try:
            with self._inside(net_ns):
                looker.look(emit)
        except (ProcessGone, Unavailable):
            pass  # it is ending, or its guide did: the next turn has another
        took_s, count = self._monotonic() - began_s, len(self._lookers)
        pause_s = max(POLL_S / count, took_s / SHARE)
        self._due_s = began_s + pause_s
        if pause_s * count > SELDOM_S and not self._seldom_told:
            self._seldom_told = True
            reason = f"packet and UDP sockets of {count} networks are looked at each {pause_s * count:.0f} s"
            emit(SightLost(time.time_ns(), "sockets", reason, standing=True))
