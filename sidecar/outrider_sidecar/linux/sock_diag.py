"""The sockets of a network namespace, and which way their connections go.

The questions themselves are in `inet_diag` (netlink; the rule) and `proc_net` (the fallback); this file chooses
between them, adds the direction, and shapes the answers. Direction by ports is a judgement: the listening sockets
of the moment and net.ipv4.ip_local_port_range are read for it at each call that returns connections.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol, Self

from outrider_sidecar.decode.sockets import InternetProtocol, tell_direction
from outrider_sidecar.linux.inet_diag import InetDiag
from outrider_sidecar.linux.proc_net import ProcNet
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.sensors import Capability
from outrider_wire.events import SocketFacts

DEFAULT_EPHEMERAL: Final = range(32768, 61000)
"""Where the range cannot be read: the kernel's default, ip(7)."""


class SocketSource(Protocol):
    """What `InetDiag` and `ProcNet` both answer."""

    def internet(
        self, protocol: InternetProtocol, *, inodes: Collection[int] | None = None, local_port: int = 0
    ) -> Iterator[SocketFacts]: ...
    def listeners(self) -> Iterator[SocketFacts]: ...
    def unix(self, inodes: Collection[int] | None = None) -> Iterator[SocketFacts]: ...
    def connection(
        self, local: str, local_port: int, remote: str, remote_port: int, *, interface: int = 0
    ) -> SocketFacts | None: ...
    def close(self) -> None: ...


class SocketTable:
    """The sockets of the network namespace of the thread that makes it. For one thread.

    `pid` is a process of that namespace, for where the thread leaves it and sock_diag is refused.
    """

    def __init__(self, *, proc: Path = PROC, source: SocketSource | None = None, pid: int = 0) -> None:
        self._source = source or open_source(proc=proc, pid=pid)
        self._proc = proc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._source.close()

    def find(self, inodes: Iterable[int], pids: Iterable[int] = ()) -> dict[int, SocketFacts]:  # noqa: ARG002
        """The sockets with these inodes; those that are gone, or of other families, are left out.

        Whose they are (`pids`) is for `NamespaceSockets`, which answers the same question.
        """
        wanted = set(inodes) - {0}
        found: list[SocketFacts] = []
        for ask in (self._source.unix, self._find_tcp, self._find_udp):
            if not wanted:
                break
            found += ask(wanted)
            wanted -= {facts.inode for facts in found}
        return {facts.inode: facts for facts in self._directed(found)}

    def tcp(self) -> list[SocketFacts]:
        """Every TCP socket, of IPv4 and IPv6, in every state; those that no process holds have inode 0."""
        return self._directed(list(self._source.internet("tcp")))

    def udp(self) -> list[SocketFacts]:
        """Every UDP socket, of IPv4 and IPv6."""
        return self._directed(list(self._source.internet("udp")))

    def unix(self) -> list[SocketFacts]:
        """Every UNIX socket, with its peer where the source tells it."""
        return list(self._source.unix())

    def find_connection(
        self,
        protocol: InternetProtocol,
        local: str,
        local_port: int,
        remote: str,
        remote_port: int,
        *,
        interface: int = 0,
    ) -> SocketFacts | None:
        """The socket that takes what `remote` sends to `local`; without direction, for speed.

        That is the connection, else (TCP) the listening socket or (UDP) the unconnected one. `interface` is the
        index of the interface the packet was seen on, needed for link-local addresses.
        """
        if protocol == "tcp":
            return self._source.connection(local, local_port, remote, remote_port, interface=interface)
        unconnected = None
        for facts in self._source.internet("udp", local_port=local_port):
            if (facts.local, facts.remote, facts.remote_port) == (local, remote, remote_port):
                return facts
            if not facts.remote_port and facts.local in (local, "::", "0.0.0.0"):
                unconnected = facts
        return unconnected

    def find_listener(self, address: str, port: int, *, interface: int = 0) -> SocketFacts | None:
        """The TCP socket that listens for connections to this address."""
        nobody = "::" if ":" in address else "0.0.0.0"
        found = self._source.connection(address, port, nobody, 0, interface=interface)
        return found if found is not None and found.state == "LISTEN" else None

    def _find_tcp(self, inodes: Collection[int]) -> Iterator[SocketFacts]:
        return self._source.internet("tcp", inodes=inodes)

    def _find_udp(self, inodes: Collection[int]) -> Iterator[SocketFacts]:
        return self._source.internet("udp", inodes=inodes)

    def _directed(self, sockets: list[SocketFacts]) -> list[SocketFacts]:
        if not any(facts.remote_port for facts in sockets):
            return sockets
        listeners: dict[int, list[str]] = {}
        for listener in self._source.listeners():
            listeners.setdefault(listener.local_port, []).append(listener.local)
        ephemeral = ephemeral_ports(proc=self._proc)
        return [tell_direction(facts, listeners, ephemeral) for facts in sockets]


def open_source(*, proc: Path = PROC, pid: int = 0) -> SocketSource:
    """sock_diag where it answers, else /proc/net of this thread, or of a process."""
    try:
        source = InetDiag()
    except OSError:
        return ProcNet(proc=proc, pid=pid)
    try:
        list(source.listeners())
    except OSError:
        source.close()
        return ProcNet(proc=proc, pid=pid)
    return source


def ephemeral_ports(*, proc: Path = PROC) -> range:
    """The ports given to sockets that asked for none: net.ipv4.ip_local_port_range, both ends included."""
    try:
        first, last = (proc / "sys/net/ipv4/ip_local_port_range").read_text().split()
        return range(int(first), int(last) + 1)
    except (OSError, ValueError):
        return DEFAULT_EPHEMERAL


def probe_sock_diag() -> Capability:
    """Whether sock_diag answers here, found out by asking it for the listening TCP and all UNIX sockets."""
    try:
        source = InetDiag()
        try:
            listening, local = len(list(source.listeners())), len(list(source.unix()))
        finally:
            source.close()
    except OSError as error:
        return Capability(
            sense="sockets",
            sensor="proc_net",
            available=False,
            reason=f"NETLINK_SOCK_DIAG was refused ({error}); /proc/net is read instead, without UNIX peers",
            remedy="allow AF_NETLINK sockets in the seccomp profile",
        )
    reason = f"NETLINK_SOCK_DIAG told of {listening} listening TCP sockets and {local} UNIX sockets"
    return Capability(sense="sockets", sensor="sock_diag", available=True, reason=reason)
