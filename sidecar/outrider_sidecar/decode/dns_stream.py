"""DNS over TCP (RFC 7766): messages, each after its length, put together from segments.

Nearly every message comes whole in one segment. Of one that does not, the beginning is kept until the segment
that follows it in sequence; what comes out of order, grows too large, or waits too long is given up and counted.
"""

from typing import Final

from msgspec import Struct

from outrider_sidecar.decode.tcp import Segment

MAX_FLOWS: Final = 64
"""Connections with a message begun, at once; the oldest is given up for a new one."""
MAX_PENDING_BYTES: Final = 16384
"""Longest message waited for; most are under 4096 bytes."""
PATIENCE_NS: Final = 10_000_000_000

Flow = tuple[str, int, str, int]
"""Source, its port, destination, its port."""


class _Pending(Struct, gc=False):
    data: bytes
    next_sequence: int
    since_ns: int


class DnsStreams:
    """The messages begun on DNS connections. `given_up` counts those that were never whole."""

    def __init__(self) -> None:
        self._pending: dict[Flow, _Pending] = {}
        self.given_up = 0

    def take(self, flow: Flow, segment: Segment, at_ns: int) -> list[bytes]:
        """The messages that this segment completes, in order."""
        data = segment.payload
        pending = self._pending.get(flow)
        if pending is not None:
            ahead = (segment.sequence - pending.next_sequence) & 0xFFFFFFFF
            fresh = at_ns - pending.since_ns <= PATIENCE_NS
            if fresh and ahead >= 0x8000_0000:
                return []  # a segment that was seen already
            del self._pending[flow]
            if fresh and not ahead:
                data = pending.data + data
            else:
                self.given_up += 1
                if fresh:
                    return []  # a segment between was missed: where a message begins is not known
        messages, rest = split_stream(data)
        if rest:
            self._keep(flow, _Pending(rest, (segment.sequence + len(segment.payload)) & 0xFFFFFFFF, at_ns))
        return messages

    def _keep(self, flow: Flow, pending: _Pending) -> None:
        if wanted_bytes(pending.data) > MAX_PENDING_BYTES:
            self.given_up += 1
            return
        if len(self._pending) >= MAX_FLOWS:
            del self._pending[next(iter(self._pending))]
            self.given_up += 1
        self._pending[flow] = pending


def split_stream(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole messages at the start of the bytes, without their lengths, and the rest."""
    messages, offset = [], 0
    while offset + 2 <= len(data):
        end = offset + 2 + int.from_bytes(data[offset : offset + 2])
        if end > len(data):
            break
        messages.append(data[offset + 2 : end])
        offset = end
    return messages, data[offset:]


def wanted_bytes(data: bytes) -> int:
    """How long the message that begins here says it is; 0 while even that is unknown."""
    return int.from_bytes(data[:2]) if len(data) >= 2 else 0
