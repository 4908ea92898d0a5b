"""Which SYN and SYN-ACK are news: repeats of the same attempt are not.

A SYN is sent again after 1, 3, 7… seconds when nobody answers, and one packet may be seen on two interfaces.
Both carry the same initial sequence number, so an attempt is its four ends and that number.
"""

from typing import Final

from msgspec import Struct

from outrider_wire.events import ConnectionOpened

MAX_ATTEMPTS: Final = 4096
"""Attempts remembered; the oldest is forgotten for a new one, and might then be told of again."""
MEMORY_NS: Final = 130_000_000_000
"""Six repeats of a SYN (net.ipv4.tcp_syn_retries) take 127 seconds."""

Ends = tuple[str, int, str, int]
"""The sender of the SYN, its port, the other end, its port."""


class Attempt(Struct):
    """A connection that was asked for, with the events that told of it.

    `told` is None where the SYN was not seen, and empty where nobody was to be told. `answered` once its SYN-ACK
    was seen.
    """

    sequence: int
    at_ns: int
    answered: bool = False
    told: tuple[ConnectionOpened, ...] | None = None


class Handshakes:
    """The attempts of the last two minutes, bounded."""

    def __init__(self, *, limit: int = MAX_ATTEMPTS) -> None:
        self._attempts: dict[Ends, Attempt] = {}
        self._limit = limit

    def __len__(self) -> int:
        return len(self._attempts)

    def knows(self, ends: Ends) -> bool:
        """Whether an attempt with these ends is remembered."""
        return ends in self._attempts

    def ask(self, ends: Ends, sequence: int, at_ns: int) -> Attempt | None:
        """A new attempt for a SYN with this sequence number, or None where it was seen before."""
        known = self._attempts.get(ends)
        if known is not None and known.sequence == sequence and at_ns - known.at_ns < MEMORY_NS:
            return None
        return self._remember(ends, Attempt(sequence, at_ns))

    def answer(self, ends: Ends, acknowledged: int, at_ns: int) -> Attempt | None:
        """The attempt that a SYN-ACK with this acknowledged number answers, or None where it was answered before."""
        sequence = (acknowledged - 1) & 0xFFFFFFFF
        known = self._attempts.get(ends)
        if known is None or known.sequence != sequence:
            known = self._remember(ends, Attempt(sequence, at_ns))  # its SYN was not seen
        if known.answered:
            return None
        known.answered = True
        return known

    def _remember(self, ends: Ends, attempt: Attempt) -> Attempt:
        self._attempts.pop(ends, None)
        if len(self._attempts) >= self._limit:
            del self._attempts[next(iter(self._attempts))]
        self._attempts[ends] = attempt
        return attempt
