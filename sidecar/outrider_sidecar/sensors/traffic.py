"""What a packet tells: connections, DNS questions and answers, TLS server names, each with its owner.

The tap passes few packets (see `linux/packet.py`); this file decides what each of them is:

- A SYN is a `ConnectionOpened`, its SYN-ACK the same again with `answered`; repeats are nothing. Where both ends
  are local (loopback) each end has its own event: outbound with the process that connects, inbound with the one
  that listens. Where neither is local the packet is routed through and belongs to another network namespace.
- A DNS question that a local address sends is a `NameQueried`; an answer that a local address gets is a
  `NameResolved`. A ClientHello with a name, from or to a local address, is a `ServerNamed`.
- The owner is looked for at once. What belongs to a process that `ignore` names is not told of. An owner that was
  not found is unknown, and the socket's inode, where there is one, is kept for its holder's exit stop to complete.
  A resolver asks for a name's two kinds of address from one port at once: who asked the one asked the other, though
  it is gone by then.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from outrider_sidecar.decode.dns import Message, parse_message
from outrider_sidecar.decode.dns_stream import DnsStreams
from outrider_sidecar.decode.handshakes import Handshakes
from outrider_sidecar.decode.ip import TCP, UDP, IpPacket, parse_ip
from outrider_sidecar.decode.tcp import ACK, RST, SYN, Segment, parse_datagram, parse_segment
from outrider_sidecar.decode.tls import parse_client_hello
from outrider_sidecar.linux.packet import Captured
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.owners import Owner
from outrider_wire.events import ConnectionOpened, Direction, NameQueried, NameResolved, ServerNamed, SocketFacts

DNS_PORT: Final = 53
SAME_ASKER_NS: Final = 200_000_000
"""How long after a question the next from its port is of the same process, where none is found to hold the port."""
MAX_ASKERS: Final = 256
_CONNECTED: Final = ("ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE_WAIT")
"""States of a connection whose handshake is over and which somebody may hold."""


class Owners(Protocol):
    """Who may be asked for the owner of our end; `OwnerFinder` is."""

    def of_connection(
        self,
        local: str,
        local_port: int,
        remote: str,
        remote_port: int,
        *,
        interface: int = 0,
        accepting: bool = False,
    ) -> Owner: ...
    def of_datagrams(self, local: str, local_port: int, remote: str, remote_port: int) -> Owner: ...


class TrafficCounts(Struct):
    """What was read since the start.

    `undecoded` were no valid IP, TCP, DNS or TLS; `foreign` were routed through; `cut_hellos` are ClientHellos
    whose name would have followed in a segment that the filter does not pass.
    """

    seen: int = 0
    undecoded: int = 0
    foreign: int = 0
    cut_hellos: int = 0


class TrafficReader:
    """Turns captured packets of one network namespace into events. For one thread."""

    def __init__(
        self, owners: Owners, local: Container[str], ignore: Callable[[int], bool], *, net_ns: int = 0
    ) -> None:
        self.counts = TrafficCounts()
        self._net_ns = net_ns
        self._owners = owners
        self._local = local
        self._ignore = ignore
        self._handshakes = Handshakes()
        self._streams = DnsStreams()
        self._askers: dict[tuple[str, int], tuple[int, Owner]] = {}

    def read(self, captured: Captured, emit: Emit) -> bool:
        """Emit the events that one packet gives rise to; False says that it is routed through."""
        self.counts.seen += 1
        try:
            packet = parse_ip(captured.data)
            if packet.source not in self._local and packet.destination not in self._local:
                self.counts.foreign += 1
                return False
            if packet.protocol == TCP:
                self._read_segment(captured, packet, parse_segment(packet.payload), emit)
            elif packet.protocol == UDP:
                self._read_datagram(captured, packet, emit)
        except ValueError:
            self.counts.undecoded += 1
        return True

    def tell_standing(self, sockets: Iterable[SocketFacts], at_ns: int, emit: Emit) -> None:
        """Connections that were there before the tap, as answered ones, but for those whose packets were read."""
        for facts in sockets:
            if facts.state not in _CONNECTED or not facts.inode:
                continue
            near, far = (facts.local, facts.local_port), (facts.remote, facts.remote_port)
            ends = (*far, *near) if facts.direction == "inbound" else (*near, *far)
            if not self._handshakes.knows(ends):
                owner = self._owners.of_connection(*near, *far)
                for event in self._opened(ends, at_ns, facts.direction, owner):
                    emit(replace(event, answered=True))

    def _read_segment(self, captured: Captured, packet: IpPacket, segment: Segment, emit: Emit) -> None:
        if segment.flags & SYN:
            if not segment.flags & RST:
                self._read_handshake(captured, packet, segment, emit)
        elif DNS_PORT in (segment.source_port, segment.destination_port):
            self._read_dns_segment(captured, packet, segment, emit)
        elif segment.payload:
            self._read_hello(captured, packet, segment, emit)

    def _read_handshake(self, captured: Captured, packet: IpPacket, segment: Segment, emit: Emit) -> None:
        if not segment.flags & ACK:
            ends = (packet.source, segment.source_port, packet.destination, segment.destination_port)
            if (attempt := self._handshakes.ask(ends, segment.sequence, captured.at_ns)) is not None:
                attempt.told = tuple(self._both_ends(ends, captured))
                for event in attempt.told:
                    emit(event)
            return
        ends = (packet.destination, segment.destination_port, packet.source, segment.source_port)
        attempt = self._handshakes.answer(ends, segment.acknowledged, captured.at_ns)
        if attempt is not None:
            if attempt.told is None:
                attempt.told = tuple(self._both_ends(ends, captured))
            for event in attempt.told:
                emit(replace(event, at_ns=captured.at_ns, answered=True))

    def _both_ends(self, ends: tuple[str, int, str, int], captured: Captured) -> Iterator[ConnectionOpened]:
        """An event for each end that is local, but for those whose owner is ignored."""
        source, source_port, destination, destination_port = ends
        if source in self._local:
            owner = self._owners.of_connection(*ends, interface=captured.interface)
            yield from self._opened(ends, captured.at_ns, "outbound", owner)
        if destination in self._local:
            owner = self._owners.of_connection(
                destination, destination_port, source, source_port, interface=captured.interface, accepting=True
            )
            yield from self._opened(ends, captured.at_ns, "inbound", owner)

    def _opened(
        self, ends: tuple[str, int, str, int], at_ns: int, direction: Direction, owner: Owner
    ) -> Iterator[ConnectionOpened]:
        if self._is_ignored(owner):
            return
        source, source_port, destination, destination_port = ends
        yield ConnectionOpened(
            at_ns=at_ns,
            source=source,
            source_port=source_port,
            destination=destination,
            destination_port=destination_port,
            direction=direction,
            owner=owner.process,
            attribution=owner.attribution,
            socket_inode=owner.socket_inode,
            mnt_ns=owner.mnt_ns,
            net_ns=self._net_ns,
        )

    def _read_datagram(self, captured: Captured, packet: IpPacket, emit: Emit) -> None:
        datagram = parse_datagram(packet.payload)
        message = parse_message(datagram.payload)
        if message.is_response:
            self._tell_answer(captured, packet, datagram.source_port, message, emit)
        elif datagram.destination_port == DNS_PORT and packet.source in self._local:
            owner = self._owners.of_datagrams(
                packet.source, datagram.source_port, packet.destination, datagram.destination_port
            )
            owner = self._same_asker((packet.source, datagram.source_port), captured.at_ns, owner)
            self._tell_question(captured, packet, datagram.source_port, message, owner, emit)

    def _same_asker(self, port: tuple[str, int], at_ns: int, owner: Owner) -> Owner:
        """The owner, or where there is none who asked from the same port just before."""
        if owner.process is None:
            asked_ns, earlier = self._askers.get(port, (0, owner))
            is_the_same = earlier.process is not None and 0 <= at_ns - asked_ns <= SAME_ASKER_NS
            return replace(earlier, attribution="inferred") if is_the_same else owner
        if len(self._askers) >= MAX_ASKERS:
            del self._askers[next(iter(self._askers))]
        self._askers.pop(port, None)
        self._askers[port] = (at_ns, owner)
        return owner

    def _read_dns_segment(self, captured: Captured, packet: IpPacket, segment: Segment, emit: Emit) -> None:
        flow = (packet.source, segment.source_port, packet.destination, segment.destination_port)
        given_up = self._streams.given_up
        messages = self._streams.take(flow, segment, captured.at_ns)
        self.counts.undecoded += self._streams.given_up - given_up
        for raw in messages:
            message = parse_message(raw)
            if message.is_response:
                self._tell_answer(captured, packet, segment.source_port, message, emit)
            elif segment.destination_port == DNS_PORT and packet.source in self._local:
                owner = self._owners.of_connection(*flow, interface=captured.interface)
                self._tell_question(captured, packet, segment.source_port, message, owner, emit)

    def _tell_question(
        self, captured: Captured, packet: IpPacket, port: int, message: Message, owner: Owner, emit: Emit
    ) -> None:
        if self._is_ignored(owner):
            return
        for question in message.questions:
            emit(
                NameQueried(
                    at_ns=captured.at_ns,
                    name=question.name,
                    record_type=question.record_type,
                    transport="tcp" if packet.protocol == TCP else "udp",
                    server=packet.destination,
                    source_port=port,
                    owner=owner.process,
                    attribution=owner.attribution,
                    mnt_ns=owner.mnt_ns,
                    net_ns=self._net_ns,
                )
            )

    def _tell_answer(self, captured: Captured, packet: IpPacket, port: int, message: Message, emit: Emit) -> None:
        if port != DNS_PORT or packet.destination not in self._local or not message.questions:
            return
        question = message.questions[0]
        emit(
            NameResolved(
                at_ns=captured.at_ns,
                name=question.name,
                record_type=question.record_type,
                addresses=message.addresses,
                aliases=message.aliases,
                code=message.code,
                server=packet.source,
                ttl_s=message.ttl_s,
                net_ns=self._net_ns,
            )
        )

    def _read_hello(self, captured: Captured, packet: IpPacket, segment: Segment, emit: Emit) -> None:
        hello = parse_client_hello(segment.payload)
        self.counts.cut_hellos += hello.cut
        if not hello.server_name:
            return
        ours = (packet.source, segment.source_port)
        theirs = (packet.destination, segment.destination_port)
        accepting = packet.source not in self._local
        near, far = (theirs, ours) if accepting else (ours, theirs)
        owner = self._owners.of_connection(*near, *far, interface=captured.interface, accepting=accepting)
        if not self._is_ignored(owner):
            emit(
                ServerNamed(
                    at_ns=captured.at_ns,
                    name=hello.server_name,
                    source=packet.source,
                    source_port=segment.source_port,
                    destination=packet.destination,
                    destination_port=segment.destination_port,
                    owner=owner.process,
                    attribution=owner.attribution,
                    mnt_ns=owner.mnt_ns,
                    net_ns=self._net_ns,
                )
            )

    def _is_ignored(self, owner: Owner) -> bool:
        return owner.process is not None and self._ignore(owner.process.pid)
