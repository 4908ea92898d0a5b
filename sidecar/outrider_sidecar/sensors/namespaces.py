"""The packet sensor of a host: a tap in each guarded container's network namespace, all read by one thread.

The engine says in which namespaces guarded processes live (`follow`), the first time it meets one there. The thread
enters the namespace, opens taps, addresses and socket table, comes back, and from then on only waits: an idle
namespace costs descriptors and nothing else. Connections made before the taps were open are told of from the
kernel's socket list, where the container is a new one.

Our sockets keep a namespace alive (see `linux/netns`), so its end must be noticed: of each namespace one member, a
process in it, is watched by a pidfd. When that ends another is looked for; when there is none, what still waits in
the taps is read, all is closed, and the kernel takes the namespace down.

The host's own namespace, which need not be ours, is followed where a container shares it (host network mode) or the
host itself is guarded; a `Sieve` holds back what is not of the guarded.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from outrider_sidecar.linux.netns import Member, entered, members, network_of, own_network
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.sensors import Emit
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_sidecar.sensors.rounds import Rounds
from outrider_sidecar.sensors.sieve import Sieve
from outrider_sidecar.sensors.sockets import SocketSensor
from outrider_sidecar.sensors.tapped import Tapped
from outrider_sidecar.sensors.traffic import TrafficCounts, TrafficReader
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import SightLost

MAX_NETWORKS: Final = 256
"""Most network namespaces tapped at once."""
MAX_LEFT: Final = 1_024
"""Most that wait for a place, or for their taps to be granted."""
BUFFER_BYTES: Final = 2 << 20
"""Receive buffer asked for each tap: some 2,500 small packets."""
SWEEP_S: Final = 1.0
RETRY_S: Final = 30.0
"""How often what could not be opened is tried again, and whether members still are where they were is looked up."""
_RESTLESS_S: Final = 0.05

Ignore = Callable[[int], bool]


class Asked(Struct, frozen=True):
    """A namespace that is to be followed, by a process in it; `new`: whose beginning was seen."""

    net_ns: int
    pid: int
    new: bool


class _Network(Struct):
    net_ns: int
    member: Member
    tapped: Tapped


class NamespaceSensor:
    """Connections, DNS and TLS server names of many network namespaces. `follow` may be called by any thread.

    `ignore` says of a pid that its traffic is never told of; `guarded` is asked in the host's own network alone, and
    who is not guarded there is ignored, unless the host itself is guarded (`guard_host`). `taps` may be left out, and
    `sockets` asked for: those that no packet tells of (see `sockets`). `host_pid` is a process that stays in the host's
    own network, 0 where that is ours.
    """

    name = "packet"

    def __init__(
        self,
        *,
        ignore: Ignore = lambda _: False,
        guarded: Ignore = lambda _: True,
        guard_host: bool = False,
        host_pid: int = 0,
        taps: bool = True,
        sockets: bool = False,
        limit: int = MAX_NETWORKS,
        buffer_bytes: int = BUFFER_BYTES,
        proc: Path = PROC,
    ) -> None:
        self._ignore = ignore
        self._guarded = guarded
        self._guard_host = guard_host
        self._taps = taps
        self._rounds = Rounds(self._inside) if sockets else None
        self._limit = limit
        self._buffer_bytes = buffer_bytes
        self._proc = proc
        self._host_pid = host_pid or os.getpid()
        self._host = network_of(host_pid, proc=proc) if host_pid else own_network(proc=proc)
        self._known: set[int] = set()
        self._asked: deque[Asked] = deque()
        self._left: dict[int, Asked] = {}
        self._networks: dict[int, _Network] = {}
        self._by_fd: dict[int, _Network] = {}
        self._told: set[int] = set()
        self._limit_told = False
        self._swept_s = self._retried_s = 0.0
        self._lost_by_closed = 0
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)

    def follow(self, net_ns: int, pid: int, *, new: bool = False) -> None:
        """Tap the network namespace of a process, if it is not yet; at once, and cheap to say again.

        `new`: the container's beginning was seen, so that connections it has already are news.
        """
        if net_ns and net_ns not in self._known:
            self._known.add(net_ns)
            self._asked.append(Asked(net_ns, pid, new))
            os.eventfd_write(self._wake, 1)

    @property
    def networks(self) -> frozenset[int]:
        """The namespaces that are tapped now."""
        return frozenset(self._networks.copy())

    @property
    def left(self) -> int:
        """How many are not, for want of a place or of leave."""
        return len(self._left)

    @property
    def lost(self) -> int:
        """Packets that came faster than they were read."""
        return self._lost_by_closed + sum(network.tapped.lost for network in self._networks.copy().values())

    def counts(self, net_ns: int) -> TrafficCounts | None:
        """What was read in one namespace."""
        network = self._networks.get(net_ns)
        return network.tapped.counts if network is not None else None

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Block until `stop`."""
        if self._guard_host:
            self.follow(self._host, self._host_pid)
        try:
            while not stop.is_set():
                self._take_asked(emit)
                self._turn(self._epoll.poll(self._wait_s()), emit)
                if self._rounds is not None:
                    self._rounds.look(emit)
        finally:
            for network in list(self._networks.values()):
                self._close(network)
            self._epoll.close()

    def _wait_s(self) -> float:
        host = self._networks.get(self._host)
        wait_s = _RESTLESS_S if host is not None and host.tapped.is_restless else SWEEP_S
        look_s = self._rounds.wait_s() if self._rounds is not None else None
        return wait_s if look_s is None else min(wait_s, look_s)

    def _turn(self, polled: Iterable[tuple[int, int]], emit: Emit) -> None:
        ready: dict[int, set[int]] = {}
        for fd, _ in polled:
            if fd == self._wake:
                os.eventfd_read(self._wake)
            elif (found := self._by_fd.get(fd)) is not None:
                ready.setdefault(found.net_ns, set()).add(fd)
        for net_ns, fds in ready.items():
            self._read(self._networks[net_ns], fds, emit)
        if (host := self._networks.get(self._host)) is not None:
            host.tapped.settle(emit)
        now_s = time.monotonic()
        if now_s - self._swept_s >= SWEEP_S:
            self._swept_s = now_s
            self._sweep(now_s, emit)

    def _read(self, network: _Network, fds: set[int], emit: Emit) -> None:
        if network.tapped.read(fds, emit):
            self._register(network)
        if network.member.fileno() in fds:
            self._renew(network, emit)

    def _sweep(self, now_s: float, emit: Emit) -> None:
        """What no descriptor tells of: what was lost, and what is to be tried again."""
        for network in list(self._networks.values()):
            network.tapped.settle(emit)
            if network.tapped.is_retry_due():
                self._read(network, set(), emit)
        if now_s - self._retried_s >= RETRY_S:
            self._retried_s = now_s
            for network in list(self._networks.values()):
                if network_of(network.member.pid, proc=self._proc) != network.net_ns:
                    self._renew(network, emit)
            self._try_left(emit)

    def _take_asked(self, emit: Emit) -> None:
        while self._asked:
            asked = self._asked.popleft()
            if asked.net_ns not in self._networks:
                self._try(asked, emit)

    def _try_left(self, emit: Emit) -> None:
        for asked in list(self._left.values()):
            if len(self._networks) >= self._limit:
                return
            del self._left[asked.net_ns]
            self._try(asked, emit)

    def _try(self, asked: Asked, emit: Emit) -> None:
        if len(self._networks) >= self._limit:
            self._leave(asked)
            if not self._limit_told:
                self._limit_told = True
                reason = f"more than {self._limit} networks: those of later containers are not tapped"
                emit(SightLost(time.time_ns(), "network", reason, standing=True))
            return
        try:
            self._open(asked, emit)
        except ProcessGone:
            self._known.discard(asked.net_ns)  # and with it the whole namespace
        except (Unavailable, OSError) as error:
            self._leave(asked)
            if asked.net_ns not in self._told:
                self._told = {*self._told, asked.net_ns} if len(self._told) < MAX_LEFT else {asked.net_ns}
                reason = f"the network of process {asked.pid} has no tap: {error}"
                emit(SightLost(time.time_ns(), "network", reason))

    def _leave(self, asked: Asked) -> None:
        if len(self._left) >= MAX_LEFT:
            oldest = next(iter(self._left))
            del self._left[oldest]
            self._known.discard(oldest)
        self._left[asked.net_ns] = asked

    def _open(self, asked: Asked, emit: Emit) -> None:
        member = self._find_member(asked.net_ns, asked.pid)
        if member is None:
            raise ProcessGone(f"nobody is in the network {asked.net_ns}")
        owners = OwnerFinder(net_ns=asked.net_ns, proc=self._proc)
        try:
            with entered(member.pid, asked.net_ns, proc=self._proc):
                owners.open(pid=member.pid)
                network = _Network(asked.net_ns, member, self._tap(asked.net_ns, owners))
                self._networks[asked.net_ns] = network
                self._register(network)
                if asked.new:
                    network.tapped.tell_standing(emit)
                if self._rounds is not None:
                    self._rounds.add(asked.net_ns, self._looker(asked.net_ns, owners), emit, new=asked.new)
        except BaseException:
            self._networks.pop(asked.net_ns, None)
            self._forget_descriptors(asked.net_ns)
            owners.close()
            member.close()
            raise

    def _tap(self, net_ns: int, owners: OwnerFinder) -> Tapped:
        return Tapped(
            owners,
            net_ns=net_ns,
            ignore=self._ignore_in(net_ns),
            buffer_bytes=self._buffer_bytes,
            inside=partial(self._inside, net_ns),
            sieve=self._make_sieve if net_ns == self._host else None,
            taps=self._taps,
        )

    def _looker(self, net_ns: int, owners: OwnerFinder) -> SocketSensor:
        return SocketSensor(
            owners,
            ignore=self._ignore_in(net_ns),
            tells_unknown=net_ns != self._host or self._guard_host,
            net_ns=net_ns,
            proc=self._proc,
        )

    def _ignore_in(self, net_ns: int) -> Ignore:
        return self._is_ignored_here if net_ns == self._host and not self._guard_host else self._ignore

    def _inside(self, net_ns: int) -> AbstractContextManager[int]:
        return entered(self._networks[net_ns].member.pid, net_ns, proc=self._proc)

    def _make_sieve(self, reader: TrafficReader) -> Sieve:
        return Sieve(reader, tells_unknown=self._guard_host, began_ns=time.time_ns())

    def _is_ignored_here(self, pid: int) -> bool:
        return self._ignore(pid) or not self._guarded(pid)

    def _find_member(self, net_ns: int, *first: int) -> Member | None:
        for candidates in (first, members(net_ns, proc=self._proc)):
            for pid in candidates:
                try:
                    return Member(pid, net_ns, proc=self._proc)
                except ProcessGone:
                    continue
        return None

    def _renew(self, network: _Network, emit: Emit) -> None:
        """Another member in the place of one that ended; without one the namespace is over."""
        self._known.discard(network.net_ns)  # whoever joins after the search below is to be told of again
        if (member := self._find_member(network.net_ns)) is None:
            network.tapped.finish(emit)
            self._close(network)
            self._try_left(emit)
            return
        self._known.add(network.net_ns)
        network.member.close()
        network.member = member
        self._register(network)

    def _close(self, network: _Network) -> None:
        del self._networks[network.net_ns]
        self._forget_descriptors(network.net_ns)
        if self._rounds is not None:
            self._rounds.remove(network.net_ns)
        self._lost_by_closed += network.tapped.lost
        network.tapped.close()
        network.member.close()

    def _register(self, network: _Network) -> None:
        """Wait for all of its descriptors; those that were closed the kernel has taken out already."""
        self._forget_descriptors(network.net_ns)
        for fd in (network.member.fileno(), *network.tapped.filenos()):
            self._by_fd[fd] = network
            try:
                self._epoll.register(fd, select.EPOLLIN)
            except FileExistsError:
                continue

    def _forget_descriptors(self, net_ns: int) -> None:
        self._by_fd = {fd: network for fd, network in self._by_fd.items() if network.net_ns != net_ns}
