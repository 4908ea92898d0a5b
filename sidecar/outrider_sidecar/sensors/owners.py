"""Which process holds a socket: sock_diag gives the inode, /proc/PID/fd the holder.

Processes are looked through newest first, and of each the highest descriptors first: a connection that was just
opened belongs most often to the newest process, at its newest descriptor. The first holder found is taken:

- Of a socket that is connecting there is nearly always one holder. Where a child inherited it, the child is
  newer; a parent that opens a socket, forks, and only then connects is named wrongly by this, and is rare.
- Of an accepted connection the newest holder is the child that a forking server made for it.
- Of a listening socket the newest holder is a worker of the server, not its master and not the service manager
  that opened the socket for it. Any of the workers may accept: `inferred` is said of it.

Where the finder is of one network namespace of many, the processes of others are passed over by their link: a socket
whose maker moved to another network since, or gave it to a process there, has an unknown owner.

Who owned a socket a moment ago likely owns the next: the last few owners are looked at before the rest, and a
found holder is kept by inode and believed only after its descriptor was read again.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

from outrider_sidecar.linux.procfs import PROC, parse_stat
from outrider_sidecar.linux.sock_diag import SocketTable
from outrider_sidecar.linux.unyielding import DescriptorReader
from outrider_wire.events import Attribution, ProcessId, SocketFacts

MAX_CACHED: Final = 1024
"""Holders kept by inode; the oldest is forgotten for a new one."""
MAX_RECENT: Final = 4
"""Last owners looked at first."""
ELSEWHERE_S: Final = 0.1
"""How long a process that was found in another network is taken to be there: a search of a host's processes for an
owner that is gone takes milliseconds, and a scanner has many such connections."""
MAX_DESCRIPTORS_READ: Final = 16384
"""Descriptors read of one process; a program with more open may keep a connection from being found."""


class Owner(Struct, frozen=True, gc=False):
    """Who holds a socket. `process` is None where nobody was found; `socket_inode` is 0 where even that is unknown.

    `mnt_ns` is the mount namespace of the process, 0 where it was not read.
    """

    process: ProcessId | None = None
    attribution: Attribution = "unknown"
    socket_inode: int = 0
    mnt_ns: int = 0


NOBODY: Final = Owner()


class _Holder(Struct, frozen=True, gc=False):
    process: ProcessId
    link: bytes
    mnt_ns: int


class OwnerFinder:
    """Finds the owners of sockets of one network namespace. For one thread; `open` is called in that namespace.

    `pids` lists the processes to look through, newest first; those outside of `net_ns` are passed over (0: none are).
    """

    def __init__(self, *, pids: Callable[[], Iterable[int]] | None = None, net_ns: int = 0, proc: Path = PROC) -> None:
        self._pids = pids or self._list_pids
        self._network = b"net:[%d]" % net_ns if net_ns else b""
        self._proc = proc
        self._table: SocketTable | None = None
        self._cache: dict[int, _Holder] = {}
        self._recent: list[int] = []
        self._elsewhere: set[int] = set()
        self._elsewhere_since_s = 0.0
        self._reader = DescriptorReader()

    def open(self, *, pid: int = 0) -> None:
        """Open the socket table, in the network namespace of the calling thread, which is also that of `pid`."""
        self.close()
        self._table = SocketTable(proc=self._proc, pid=pid)

    def close(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None

    def of_connection(
        self,
        local: str,
        local_port: int,
        remote: str,
        remote_port: int,
        *,
        interface: int = 0,
        accepting: bool = False,
    ) -> Owner:
        """The owner of our end of a TCP connection; where it is `accepting`, of the listening socket before accept(2).

        `interface` is the index of the interface its packets were seen on; link-local connections need it.
        """
        table = self._opened()
        try:
            facts = table.find_connection("tcp", local, local_port, remote, remote_port, interface=interface)
            if accepting and facts is not None and not facts.inode:
                facts = table.find_listener(local, local_port, interface=interface)
        except OSError:
            return NOBODY  # the kernel did not answer this once
        if not accepting and facts is not None and facts.state == "LISTEN":
            return NOBODY  # the connection is gone, and another program listens on the port it had
        return self._of_facts(facts)

    def of_datagrams(self, local: str, local_port: int, remote: str, remote_port: int) -> Owner:
        """The owner of the UDP socket that sent from `local` to `remote`."""
        try:
            return self._of_facts(self._opened().find_connection("udp", local, local_port, remote, remote_port))
        except OSError:
            return NOBODY

    def of_inode(self, inode: int) -> Owner:
        """The newest process that holds a socket."""
        holder = self._cached(inode) or self._search(inode)
        return Owner(holder.process, "exact", inode, holder.mnt_ns) if holder else Owner(socket_inode=inode)

    def connections(self) -> list[SocketFacts]:
        """The TCP sockets there are, with their direction; called in the namespace."""
        try:
            return self._opened().tcp()
        except OSError:
            return []  # the kernel did not answer this once

    def _opened(self) -> SocketTable:
        if self._table is None:
            self.open()
        assert self._table is not None
        return self._table

    def _of_facts(self, facts: SocketFacts | None) -> Owner:
        if facts is None or not facts.inode:
            return NOBODY
        owner = self.of_inode(facts.inode)
        if owner.process is not None and facts.state == "LISTEN":
            return Owner(owner.process, "inferred", facts.inode, owner.mnt_ns)
        return owner

    def _cached(self, inode: int) -> _Holder | None:
        holder = self._cache.get(inode)
        if holder is None:
            return None
        try:
            held = self._reader.read_link(holder.link) == b"socket:[%d]" % inode
            if held and self._identify(holder.process.pid) == holder.process:
                return holder
        except (OSError, ValueError):
            pass  # closed, or ended
        del self._cache[inode]
        return None

    def _identify(self, pid: int) -> ProcessId:
        return parse_stat(self._reader.read_file(f"{self._proc}/{pid}/stat".encode())).process

    def _list_pids(self) -> list[int]:
        """Pids are given in ascending order and begin anew at their end: those above the last one given are oldest."""
        last = self._last_pid()
        return sorted(self._reader.numbers(str(self._proc).encode()), key=lambda pid: (pid <= last, pid), reverse=True)

    def _last_pid(self) -> int:
        try:
            return int(self._reader.read_file(f"{self._proc}/loadavg".encode()).split()[4])
        except (OSError, ValueError, IndexError):
            return 0

    def _mount_namespace(self, pid: int) -> int:
        try:
            link = self._reader.read_link(f"{self._proc}/{pid}/ns/mnt".encode())
            return int(link.removeprefix(b"mnt:[").removesuffix(b"]"))
        except (OSError, ValueError):
            return 0  # it ended just now

    def _is_here(self, pid: int) -> bool:
        """Whether a process is in the network that this is about. Raises OSError."""
        if not self._network:
            return True
        if pid in self._elsewhere:
            return False
        here = self._reader.read_link(f"{self._proc}/{pid}/ns/net".encode()) == self._network
        if not here:
            self._elsewhere.add(pid)
        return here

    def _search(self, inode: int) -> _Holder | None:
        if (now_s := time.monotonic()) - self._elsewhere_since_s >= ELSEWHERE_S:
            self._elsewhere.clear()
            self._elsewhere_since_s = now_s
        target, seen = b"socket:[%d]" % inode, set(self._recent)
        for pid in tuple(self._recent):
            if (holder := self._look_at(pid, inode, target)) is not None:
                return holder
        for pid in self._pids():
            if pid not in seen and (holder := self._look_at(pid, inode, target)) is not None:
                return holder
        return None

    def _look_at(self, pid: int, inode: int, target: bytes) -> _Holder | None:
        folder = f"{self._proc}/{pid}/fd".encode()
        try:
            if not self._is_here(pid):
                return None
            number = self._reader.find(folder, target, limit=MAX_DESCRIPTORS_READ)
            if number < 0:
                return None
            process = self._identify(pid)
        except (OSError, ValueError):
            return None  # it ended, or may not be read
        holder = _Holder(process, b"%s/%d" % (folder, number), self._mount_namespace(pid))
        self._remember(inode, holder)
        return holder

    def _remember(self, inode: int, holder: _Holder) -> None:
        if len(self._cache) >= MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[inode] = holder
        pid = holder.process.pid
        self._recent = [pid, *(other for other in self._recent if other != pid)][:MAX_RECENT]
