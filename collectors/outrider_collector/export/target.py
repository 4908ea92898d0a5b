"""What a target is to the pump that feeds it: something that is handed findings and says what became of each."""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from outrider_collector.store.stored import StoredFinding


class Outcome(Struct, frozen=True):
    """What became of one finding: `sent`; `refused`, so that trying again is useless; or `later`: try again."""

    status: Literal["sent", "refused", "later"]
    reason: str = ""


SENT = Outcome("sent")


class Target(Protocol):
    """One place that findings go to. Used by one thread."""

    max_items: int
    """Most findings it is handed at once."""

    def send(self, found: Sequence[StoredFinding]) -> list[Outcome]:
        """Send the first of them, as many as one request holds and at least one; the outcomes of those, in order.

        It ends within `SEND_S`.

        Raises:
            DeliveryError: none got through. Where it says `refused`, what was sent is at fault, else the target is.
        """

    def close(self) -> None:
        """Let go of connections."""


SEND_S = 30.0
"""Longest that `send` may take: a lease outlives it (`lease.LEASE_S`)."""
