"""Sockets that no packet tells of: packet sockets, and UDP sockets that were given a peer.

The kernel lists them in /proc/net, and nothing tells when one is made: the lists are read each POLL_S, and a socket
that lives shorter than that is missed, as are datagrams sent from a socket without a peer. Passing the first packet
of every UDP flow through the tap instead would cost a wake-up for each packet of all of them, because a classic BPF
filter keeps no state: a program that speaks QUIC at line rate would be told of packet by packet.

A socket's holder is found by its inode, as that of a connection is (`owners`).
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.proc_net import ProcNet
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_wire.events import ConnectionOpened, SightLost, SocketFacts, SyscallMade

POLL_S: Final = 0.2
MAX_SOCKETS: Final = 4_096
"""Most UDP sockets looked at in one turn; past that the rest is not, and that is said."""
MAX_KNOWN: Final = 16_384
DNS_PORT: Final = 53
"""Questions have an event of their own."""


class SocketSensor:
    """Tells of packet sockets and connected UDP sockets of the network namespace it is used in.

    `ignore` says of a pid that its own are not told of; `tells_unknown`, whether those are whose holder is not found.
    """

    name = "sockets"

    def __init__(
        self,
        owners: OwnerFinder,
        *,
        ignore: Callable[[int], bool] = lambda _: False,
        tells_unknown: bool = True,
        net_ns: int = 0,
        proc: Path = PROC,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._owners = owners
        self._ignore = ignore
        self._tells_unknown = tells_unknown
        self._net_ns = net_ns
        self._net = ProcNet(proc=proc)
        self._packet_table = proc / "thread-self" / "net" / "packet"
        self._clock = clock
        self._known: set[int] = set()
        self._bound_told = False

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Block until `stop`. Raises Unavailable where no socket's holder can be found."""
        self._owners.open()
        try:
            self.begin(emit)
            while not stop.is_set():
                self.look(emit)
                stop.wait(POLL_S)
        finally:
            self._owners.close()

    def begin(self, emit: Emit) -> None:
        """Note the UDP sockets that are there already: only what comes is told of."""
        self._known.update(facts.inode for facts in self._connected(emit))

    def look(self, emit: Emit) -> None:
        """Tell of the sockets that are new since the last look."""
        packets = set(self._packet_inodes())
        connected = {facts.inode: facts for facts in self._connected(emit)}
        for inode in packets - self._known:
            self._tell_packet(inode, emit)
        for inode in connected.keys() - self._known:
            self._tell_datagrams(connected[inode], emit)
        self._known = set(list(packets | connected.keys())[:MAX_KNOWN])

    def _tell_packet(self, inode: int, emit: Emit) -> None:
        owner = self._owners.of_inode(inode)
        if owner.process is None or self._ignore(owner.process.pid):
            return
        arguments = {"domain": "AF_PACKET"}
        emit(
            SyscallMade(
                self._clock(), owner.process, "socket", arguments, attribution=owner.attribution, mnt_ns=owner.mnt_ns
            )
        )

    def _tell_datagrams(self, facts: SocketFacts, emit: Emit) -> None:
        owner = self._owners.of_inode(facts.inode)
        if not self._tells_unknown if owner.process is None else self._ignore(owner.process.pid):
            return
        emit(
            ConnectionOpened(
                self._clock(),
                facts.local,
                facts.local_port,
                facts.remote,
                facts.remote_port,
                direction="outbound",
                protocol="udp",
                owner=owner.process,
                attribution=owner.attribution,
                socket_inode=facts.inode,
                mnt_ns=owner.mnt_ns,
                net_ns=self._net_ns,
            )
        )

    def _connected(self, emit: Emit) -> Iterator[SocketFacts]:
        for count, facts in enumerate(self._net.internet("udp")):
            if count >= MAX_SOCKETS:
                self._tell_bound(emit)
                return
            if facts.remote_port not in (0, DNS_PORT) and facts.inode:
                yield facts

    def _tell_bound(self, emit: Emit) -> None:
        if not self._bound_told:
            self._bound_told = True
            reason = f"more than {MAX_SOCKETS} UDP sockets: the rest are not looked at"
            emit(SightLost(self._clock(), self.name, reason, standing=True))

    def _packet_inodes(self) -> Iterator[int]:
        try:
            lines = self._packet_table.read_bytes().splitlines()[1:]
        except OSError:
            return  # no packet sockets in this kernel
        for line in lines:
            words = line.split()
            if len(words) >= 9 and words[8].isdigit():
                yield int(words[8])
