"""A host's own network: of all that passes there, what guarded processes do.

In it are the host's daemons, containers of host network mode, and the packets of every bridged container on their
way through. What must be told of is what a guarded process does, and each thing once:

- Whose process is found is judged by the reader's `ignore`, which knows the guarded.
- A forwarded packet is seen here several times, with the container's address on the bridge and, by SNAT and DNAT,
  with the host's own on the outer link, where it looks like one of the host's and has no socket. NAT changes neither
  the sequence number of a segment nor the content of a datagram: whatever has no owner and the same **mark** as a
  packet that was foreign here, a moment before or after, is the same packet. It is told of in its own namespace.
- What then is left without an owner is of some process of the host that ended too soon, most likely not a guarded
  one. It is not told of but counted, and the count is told now and then as a standing limit of the sight. A question
  for a name goes on all the same: the engine knows whether a guarded program was given that name, and lets it go if
  none was. Where the host itself is guarded everything is told of.
- An answer of a name server belongs to who asked: it is told of where the question was.
"""

from collections import deque
from typing import Final

from msgspec import Struct

from outrider_sidecar.decode.ip import TCP, parse_ip
from outrider_sidecar.decode.tcp import parse_segment
from outrider_sidecar.linux.packet import Captured
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.traffic import TrafficReader
from outrider_wire.events import ConnectionOpened, Event, NameQueried, NameResolved, ServerNamed, SightLost

SETTLE_NS: Final = 100_000_000
"""How long what has no owner waits for its forwarded twin on another interface, and is waited for by it."""
TELL_EVERY_NS: Final = 60_000_000_000
"""How often the count of what has no owner is told, where there is any."""
MAX_PENDING: Final = 1_024
MAX_MARKS: Final = 4_096
MAX_QUESTIONS: Final = 512

_Mark = tuple[int, int]


class _Pending(Struct):
    at_ns: int
    mark: _Mark
    event: Event


class Sieve:
    """Passes on what is of the guarded. For one thread, beside the reader of a host's own network.

    `tells_unknown`: whatever has no owner and was not forwarded is told of. `unknown` counts it where not.
    """

    def __init__(self, reader: TrafficReader, *, tells_unknown: bool, began_ns: int) -> None:
        self._reader = reader
        self._tells_unknown = tells_unknown
        self._forwarded: dict[_Mark, int] = {}
        self._pending: deque[_Pending] = deque()
        self._questions: dict[tuple[str, str, str], None] = {}
        self._told_ns = began_ns
        self._told_unknown = 0
        self.unknown = 0

    @property
    def is_restless(self) -> bool:
        return bool(self._pending)

    def read(self, captured: Captured, emit: Emit) -> None:
        """Read one packet; what it tells may be held back until `settle`."""
        told: list[Event] = []
        if not self._reader.read(captured, told.append):
            self._remember(mark_of(captured.data), captured.at_ns)
            return
        for event in told:
            if isinstance(event, NameResolved):
                self._answer(event, emit)
            elif isinstance(event, ConnectionOpened | NameQueried | ServerNamed) and event.owner is None:
                self._hold(_Pending(captured.at_ns, mark_of(captured.data), event))
            else:
                self._ask(event)
                emit(event)

    def settle(self, now_ns: int, emit: Emit) -> None:
        """Decide on what waited long enough; tell the count when its time has come."""
        while self._pending and now_ns - self._pending[0].at_ns >= SETTLE_NS:
            self._decide(self._pending.popleft(), emit)
        if self.unknown > self._told_unknown and now_ns - self._told_ns >= TELL_EVERY_NS:
            lost, self._told_unknown = self.unknown - self._told_unknown, self.unknown
            since_ns, self._told_ns = self._told_ns, now_ns
            reason = (
                "connections and questions in the host's own network whose process was not found: not told of, but for"
                " a question for a name that stands in a guarded program's arguments"
            )
            emit(SightLost(now_ns, "network", reason, lost=lost, since_ns=since_ns, standing=True))

    def _hold(self, pending: _Pending) -> None:
        if len(self._pending) >= MAX_PENDING:
            self._count(self._pending.popleft().event)
        self._pending.append(pending)

    def _decide(self, pending: _Pending, emit: Emit) -> None:
        seen_ns = self._forwarded.get(pending.mark)
        if seen_ns is not None and abs(seen_ns - pending.at_ns) <= SETTLE_NS:
            self._reader.counts.foreign += 1
        elif self._tells_unknown:
            self._ask(pending.event)
            emit(pending.event)
        else:
            self._count(pending.event)
            if isinstance(pending.event, NameQueried):
                emit(pending.event)

    def _count(self, event: Event) -> None:
        """Each connection once: neither its answer nor its server's name is another."""
        if isinstance(event, NameQueried) or (isinstance(event, ConnectionOpened) and not event.answered):
            self.unknown += 1

    def _remember(self, mark: _Mark, at_ns: int) -> None:
        if len(self._forwarded) >= MAX_MARKS:
            del self._forwarded[next(iter(self._forwarded))]
        self._forwarded.pop(mark, None)
        self._forwarded[mark] = at_ns

    def _ask(self, event: Event) -> None:
        if isinstance(event, NameQueried):
            if len(self._questions) >= MAX_QUESTIONS:
                del self._questions[next(iter(self._questions))]
            self._questions[event.name, event.record_type, event.server] = None

    def _answer(self, event: NameResolved, emit: Emit) -> None:
        if (event.name, event.record_type, event.server) in self._questions:
            emit(event)


def mark_of(data: bytes) -> _Mark:
    """What address translation leaves of a packet as it was: a segment's sequence number, a datagram's content."""
    try:
        packet = parse_ip(data)
        if packet.protocol == TCP:
            return TCP, parse_segment(packet.payload).sequence
        return packet.protocol, hash(packet.payload[8:])  # past the header of UDP
    except ValueError:
        return 0, 0
