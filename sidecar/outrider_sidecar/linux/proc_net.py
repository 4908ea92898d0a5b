"""Sockets as /proc/net tells of them: proc_net(5), for where sock_diag is refused.

Facts that shape this file:

- Each question reads a whole table; nothing is narrowed in the kernel. /proc/net is /proc/self/net, and a thread
  may be in another network namespace than its process: so thread-self is read, or, for another namespace, the tables
  of a process in it.
- UNIX sockets are listed without their peers.
- A table that is missing (no IPv6, or the process ended) is an empty table.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from outrider_sidecar.decode.sockets import InternetProtocol, covers, parse_proc_net, parse_proc_unix
from outrider_sidecar.linux.procfs import PROC
from outrider_wire.events import SocketFacts


class ProcNet:
    """The same questions as `InetDiag` answers, of the network namespace of the caller or of a process (`pid`)."""

    def __init__(self, *, proc: Path = PROC, pid: int = 0) -> None:
        self._folder = proc / (str(pid) if pid else "thread-self") / "net"

    def close(self) -> None:
        """Nothing is held open."""

    def internet(
        self, protocol: InternetProtocol, *, inodes: Collection[int] | None = None, local_port: int = 0
    ) -> Iterator[SocketFacts]:
        """Sockets of one protocol: all, those with `inodes`, or those on `local_port`."""
        for line in self._lines(protocol, protocol + "6"):
            facts = parse_proc_net(line, protocol)
            if (inodes is None or facts.inode in inodes) and local_port in (0, facts.local_port):
                yield facts

    def listeners(self) -> Iterator[SocketFacts]:
        """Listening TCP sockets."""
        return (facts for facts in self.internet("tcp") if facts.state == "LISTEN")

    def unix(self, inodes: Collection[int] | None = None) -> Iterator[SocketFacts]:
        """UNIX sockets, without peers: all, or those with `inodes`."""
        for line in self._lines("unix"):
            facts = parse_proc_unix(line)
            if inodes is None or facts.inode in inodes:
                yield facts

    def connection(
        self,
        local: str,
        local_port: int,
        remote: str,
        remote_port: int,
        *,
        interface: int = 0,  # noqa: ARG002
    ) -> SocketFacts | None:
        """The TCP socket that takes what `remote` sends to `local`: the connection, else its listener.

        `interface` is not looked at: these tables do not tell of interfaces.
        """
        listener = None
        for facts in self.internet("tcp", local_port=local_port):
            if (facts.local, facts.remote, facts.remote_port) == (local, remote, remote_port):
                return facts
            if facts.state == "LISTEN" and covers(facts.local, local):
                listener = facts
        return listener

    def _lines(self, *names: str) -> Iterator[bytes]:
        for name in names:
            try:
                with open(self._folder / name, "rb") as table:
                    next(table, None)  # the heading
                    yield from table
            except (FileNotFoundError, ProcessLookupError):
                continue
