"""The proc connector: the kernel tells of every fork, exec and exit of the machine, and stops nobody for it.

It is a multicast group of netlink(7) (NETLINK_CONNECTOR, CN_IDX_PROC; include/uapi/linux/cn_proc.h). Each datagram
holds one `struct nlmsghdr`, one `struct cn_msg`, one `struct proc_event`.

Facts that shape this file:

- It exists in the first network namespace only, and speaks to the first PID and user namespace with NET_ADMIN only.
  Elsewhere the socket cannot be bound or the listen message is refused with ECONNREFUSED, or nothing ever comes. So
  one listens, makes a child, and sees whether it is told of.
- Pids are those of the first PID namespace. Threads are told of like processes: pid is the thread, tgid the process.
- Since 6.6 a listener may ask for some kinds of events alone. A socket filter does the same on every kernel, and can
  compare pid and tgid besides: that is what is used here.
- Only an exec is urgent: what it started may be gone in half a millisecond. So there are two sockets, one that is told
  of execs and wakes us, one that is told of the rest and is read when there is time. A message without a waiter costs
  the program that causes it a microsecond, one that wakes another processor several. What was read of both is put in
  the order of time; what came while they were read waits for the next time, so that nothing is left out of its order.
- `sequence` counts for each processor, before any filter: behind one, gaps in it say nothing. But what did not fit a
  socket's buffer is counted for that socket (SO_MEMINFO), exactly. The next receive then fails with ENOBUFS, once; and
  all that comes is dropped until everything that waits was read.
- A message that the kernel had no memory for is lost without a trace: look at /proc from time to time.
- The time in a message is CLOCK_MONOTONIC at the moment itself. The exec message comes when the new program is in place
  and has not run yet; the exit message of a process comes when its memory, files and namespaces are gone.
- An exec by another thread than the first ends the first one: an exit message of the process's pid, then its exec
  message. A first thread that ends before the others looks the same: only a pidfd tells whether the process lives on.
- The sender's address is 0 for the kernel. Others with NET_ADMIN in this network namespace may send to the group.
- A kernel before 6.6 counts listeners by their messages, not by their sockets: who is killed stays counted, and events
  are made for nobody. That costs a fork a microsecond, and nothing can be done about it.
"""

import errno
import os
import socket
import struct
import time
from ctypes import addressof, create_string_buffer
from operator import attrgetter
from typing import Final, Literal

from msgspec import Struct

from outrider_sidecar.linux.bpf import assemble
from outrider_sidecar.linux.recvmmsg import NetlinkBatch

FORK: Final = 0x1
EXEC: Final = 0x2
EXIT: Final = 0x80000000
LISTEN: Final = 1
IGNORE: Final = 2

_NETLINK_CONNECTOR: Final = 11
_CN_IDX_PROC: Final = 1
_CN_VAL_PROC: Final = 1
_NLMSG_DONE: Final = 3
_SO_ATTACH_FILTER: Final = 26
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("=9I")
_DROPS: Final = 8
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, pid
_CONNECTOR: Final = struct.Struct("=IIIIHH")  # cn_msg: idx, val, seq, ack, length, flags
_EVENT: Final = struct.Struct("=IIQ6i")  # proc_event: what, cpu, timestamp, and the largest of the union
_WHOLE: Final = struct.Struct(_HEADER.format + _CONNECTOR.format[1:] + _EVENT.format[1:])
_MOST_BYTES: Final = 128
_MOST_AT_ONCE: Final = 128


def _as_loaded(number: int) -> int:
    """A number as a filter sees it in memory: loads take the first byte for the highest."""
    return int.from_bytes(struct.pack("=I", number), "big")


URGENT: Final = assemble(f"""
        word 36                             ; what
        ifne {_as_loaded(EXEC)} other
        word 52                             ; the process's pid
        tax
        word 56                             ; and its tgid
        ifsame keep
other:  drop
keep:   pass {_MOST_BYTES}
""")
REST: Final = assemble(f"""
        word 36
        ifeq {_as_loaded(FORK)} keep        ; of threads, too: who has some is known by that
        ifne {_as_loaded(EXIT)} other
        word 52
        tax
        word 56
        ifsame keep
other:  drop
keep:   pass {_MOST_BYTES}
""")


class LifeMessage(Struct, frozen=True, gc=False):
    """A process began, got one more thread, started a program or ended, at `at_ns` of CLOCK_MONOTONIC.

    `parent` is told of a fork alone, `status` (as of wait(2)) of an exit alone. `sequence` counts what happened on
    the processor `cpu`.
    """

    what: Literal["fork", "thread", "exec", "exit"]
    pid: int
    at_ns: int
    parent: int = 0
    status: int = 0
    cpu: int = 0
    sequence: int = 0


def parse_message(datagram: bytes | bytearray | memoryview) -> LifeMessage | None:
    """One datagram of the group; None where it tells of a thread's end or of something else. Raises ValueError."""
    if len(datagram) < _WHOLE.size:
        raise ValueError(f"a message of {len(datagram)} bytes")
    fields = _WHOLE.unpack_from(datagram)
    length, kind, _, _, _, index, value, sequence, _, size, _, what, cpu, at_ns, *told = fields
    if kind != _NLMSG_DONE or (index, value) != (_CN_IDX_PROC, _CN_VAL_PROC):
        raise ValueError("not a message of the proc connector")
    if not _WHOLE.size <= length <= len(datagram) or not _EVENT.size <= size <= length - _WHOLE.size + _EVENT.size:
        raise ValueError(f"a message of {len(datagram)} bytes says that it has {length}, and {size} of them an event")
    if what == FORK:
        _, parent, pid, tgid, _, _ = told
        if _is_process(pid, tgid):
            return LifeMessage("fork", pid, at_ns, parent, 0, cpu, sequence)
        return LifeMessage("thread", tgid, at_ns, 0, 0, cpu, sequence)
    if what == EXEC:
        return LifeMessage("exec", told[0], at_ns, 0, 0, cpu, sequence) if _is_process(told[0], told[1]) else None
    if what == EXIT:
        pid, tgid, status, _, _, _ = told
        return LifeMessage("exit", pid, at_ns, 0, status, cpu, sequence) if _is_process(pid, tgid) else None
    return None


def _is_process(pid: int, tgid: int) -> bool:
    if pid <= 0 or tgid <= 0:
        raise ValueError(f"process {tgid}, thread {pid}")
    return pid == tgid


_BY_TIME: Final = attrgetter("at_ns")


class ProcConnector:
    """Both listening sockets, for one thread. Raises OSError where the kernel refuses them.

    `overrun` says that messages were dropped; `strange` counts what was no message.
    """

    def __init__(self, *, buffer_bytes: int) -> None:
        self._batch = NetlinkBatch(most=_MOST_AT_ONCE, size_bytes=_MOST_BYTES)
        self._urgent = _listen(URGENT, buffer_bytes)
        self._rest = self._urgent
        try:
            self._rest = _listen(REST, buffer_bytes)
        except OSError:
            self._urgent.close()
            raise
        self._waiting: list[LifeMessage] = []
        self._counted = 0
        self.has_more = False
        self.overrun = False
        self.strange = 0

    def urgent_fileno(self) -> int:
        """Readable when there are execs."""
        return self._urgent.fileno()

    def rest_fileno(self) -> int:
        """Readable when there is something else."""
        return self._rest.fileno()

    def close(self) -> None:
        """Stop listening."""
        for each in (self._urgent, self._rest):
            try:
                _say(each, IGNORE)
            except OSError:
                pass  # it ends with the socket, too
            each.close()

    def receive(self) -> list[LifeMessage]:
        """What waits, in the order of time, some hundred at most; never blocks. `has_more` tells of the rest."""
        self.has_more = False
        until_ns = time.monotonic_ns()
        found, self._waiting = self._waiting, []
        for source in (self._urgent, self._rest):
            if self._read(source, found):
                until_ns = min(until_ns, found[-1].at_ns)  # what it holds still comes before more of the other
                self.has_more = True
        found.sort(key=_BY_TIME)
        while found and found[-1].at_ns > until_ns:
            self._waiting.append(found.pop())
            self.has_more = True
        return found

    def take_losses(self) -> int | None:
        """How many messages were dropped since the last call, None where the kernel does not count them.

        0 is possible after an overrun: the drops of both sockets are counted at the first, and each tells of its own.
        """
        self.overrun = False
        try:
            counted = sum(_drops(each) for each in (self._urgent, self._rest))
        except (OSError, struct.error):
            return None
        lost, self._counted = counted - self._counted, counted
        return lost & 0xFFFFFFFF

    def _read(self, source: socket.socket, found: list[LifeMessage]) -> bool:
        """Add what waits, at most a batch of it; whether there may be more."""
        try:
            batch = self._batch.receive(source.fileno())
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self.overrun = True
            batch = self._batch.receive(source.fileno())
        count = len(found)
        for sender, datagram in batch:
            try:
                message = parse_message(datagram) if not sender else None
            except ValueError:
                self.strange += 1
                continue
            if message is not None:
                found.append(message)
        return len(batch) == self._batch.most and len(found) > count


def _listen(program: bytes, buffer_bytes: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR)
    try:
        kept = create_string_buffer(program, len(program))
        made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, addressof(kept)))
        _enlarge(made, buffer_bytes)
        made.bind((0, _CN_IDX_PROC))
        _say(made, LISTEN)
    except OSError:
        made.close()
        raise
    return made


def _enlarge(made: socket.socket, buffer_bytes: int) -> None:
    """The kernel doubles what is asked for, for its own bookkeeping, and counts that in."""
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes // 2)
    except PermissionError:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes // 2)


def _say(made: socket.socket, operation: int) -> None:
    size = _HEADER.size + _CONNECTOR.size + 4
    made.send(
        _HEADER.pack(size, _NLMSG_DONE, 0, 0, os.getpid())
        + _CONNECTOR.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0)
        + struct.pack("=I", operation)
    )


def _drops(made: socket.socket) -> int:
    counts = _MEMINFO.unpack(made.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
    return int(counts[_DROPS])
