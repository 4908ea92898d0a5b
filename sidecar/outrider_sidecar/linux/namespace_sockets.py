"""Sockets by inode, in whatever network namespaces their holders are.

Facts that shape this file:

- sock_diag answers about the namespace of the thread that opened its socket, and of no other. An inode number is of
  one socket of the machine, so all namespaces concerned can be asked for the same numbers.
- An open sock_diag socket keeps its namespace alive. So the one for another namespace is opened for a question and
  closed after it: that takes 0.12 ms, and the question itself, which walks the kernel's tables, 0.2 to 1 ms.
- Where another namespace may not be entered, /proc/PID/net of a process in it tells the same, without UNIX peers.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from outrider_sidecar.linux.inet_diag import InetDiag
from outrider_sidecar.linux.netns import entered, network_of, own_network
from outrider_sidecar.linux.proc_net import ProcNet
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.linux.sock_diag import SocketTable
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import SocketFacts


class NamespaceSockets:
    """The sockets of all network namespaces. For one thread, which opens it by its first question."""

    def __init__(self, *, proc: Path = PROC) -> None:
        self._proc = proc
        self._own: tuple[int, SocketTable] | None = None

    def close(self) -> None:
        if self._own is not None:
            self._own[1].close()
            self._own = None

    def find(self, inodes: Iterable[int], pids: Iterable[int] = ()) -> dict[int, SocketFacts]:
        """The sockets with these inodes in the namespaces of these processes; without any, in the thread's own.

        What is gone is left out. Raises OSError where the kernel did not answer.
        """
        wanted, found = set(inodes) - {0}, dict[int, SocketFacts]()
        for net_ns, guides in self._networks(pids).items():
            if not wanted:
                break
            found |= self._find_in(net_ns, guides, wanted)
            wanted -= found.keys()
        return found

    def spoke_last(self, connection: SocketFacts, pid: int) -> bool:
        """Whether we sent data on a TCP connection in a process's network after we last received some there.

        False where nobody can tell. Raises OSError where the kernel did not answer.
        """
        return self._ask(pid, lambda source: source.spoke_last(connection), unknown=False)

    def has_heard(self, connection: SocketFacts, pid: int) -> bool:
        """Whether we ever received data on a TCP connection in a process's network; True where nobody can tell.

        Raises OSError where the kernel did not answer.
        """
        return self._ask(pid, lambda source: source.has_heard(connection), unknown=True)

    def _ask(self, pid: int, question: Callable[[InetDiag], bool], *, unknown: bool) -> bool:
        try:
            with entered(pid, proc=self._proc):
                source = InetDiag()
                try:
                    return question(source)
                finally:
                    source.close()
        except (ProcessGone, Unavailable, ValueError):
            return unknown

    def _networks(self, pids: Iterable[int]) -> dict[int, list[int]]:
        """The namespaces of these processes, each with those who lead there; the thread's own needs nobody."""
        if self._own is None:
            self._own = own_network(proc=self._proc), SocketTable(proc=self._proc)
        networks: dict[int, list[int]] = {}
        for pid in pids:
            if net_ns := network_of(pid, proc=self._proc):
                networks.setdefault(net_ns, []).append(pid)
        return networks or {self._own[0]: []}

    def _find_in(self, net_ns: int, guides: list[int], inodes: Collection[int]) -> dict[int, SocketFacts]:
        if self._own is not None and net_ns == self._own[0]:
            return self._own[1].find(inodes)
        for pid in guides:
            try:
                with entered(pid, net_ns, proc=self._proc):
                    return self._find_here(pid, inodes)
            except ProcessGone:
                continue
            except Unavailable:
                return _find_by_proc(pid, inodes, self._proc)
        return {}

    def _find_here(self, pid: int, inodes: Collection[int]) -> dict[int, SocketFacts]:
        try:
            source = InetDiag()
        except OSError:
            return _find_by_proc(pid, inodes, self._proc)
        with SocketTable(proc=self._proc, source=source) as table:
            return table.find(inodes)


def _find_by_proc(pid: int, inodes: Collection[int], proc: Path) -> dict[int, SocketFacts]:
    return SocketTable(proc=proc, source=ProcNet(proc=proc, pid=pid)).find(inodes)
