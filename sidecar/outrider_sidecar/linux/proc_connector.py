"""The proc connector: the kernel tells of every fork, exec and exit of the machine, and stops nobody for it.

It is a multicast group of netlink(7) (NETLINK_CONNECTOR, CN_IDX_PROC; include/uapi/linux/cn_proc.h). Each datagram
holds one `struct nlmsghdr`, one `struct cn_msg`, one `struct proc_event`.

Facts that shape this file:

- It exists in the first network namespace only, and speaks to the first PID and user namespace with NET_ADMIN only.
  Elsewhere the socket cannot be bound or the listen message is refused with ECONNREFUSED, or nothing ever comes. So
  one listens, makes a child, and sees whether it is told of.
- Pids are those of the first PID namespace. Threads are told of like processes: pid is the thread, tgid the process.
- Since 6.6 a listener may ask for some kinds of events alone. A socket filter does the same on every kernel, and leaves
  threads out besides, so that a program with many threads wakes nobody: that is what is used here.
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
from ctypes import addressof, create_string_buffer
from typing import Final, Literal

from msgspec import Struct

from outrider_sidecar.linux.bpf import assemble

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
_MOST_BYTES: Final = 512


def _as_loaded(number: int) -> int:
    """A number as a filter sees it in memory: loads take the first byte for the highest."""
    return int.from_bytes(struct.pack("=I", number), "big")


FILTER: Final = assemble(f"""
        word 36                             ; what
        ifeq {_as_loaded(FORK)} fork
        ifeq {_as_loaded(EXEC)} own
        ifeq {_as_loaded(EXIT)} own
        drop
fork:   word 60                             ; the child's pid
        tax
        word 64                             ; and its tgid
        ifsame keep
        drop
own:    word 52                             ; the process's pid
        tax
        word 56                             ; and its tgid
        ifsame keep
        drop
keep:   pass {_MOST_BYTES}
""")


class LifeMessage(Struct, frozen=True, gc=False):
    """A process began, started a program or ended, at `at_ns` of CLOCK_MONOTONIC.

    `parent` is told of a fork alone, `status` (as of wait(2)) of an exit alone. `sequence` counts what happened on
    the processor `cpu`.
    """

    what: Literal["fork", "exec", "exit"]
    pid: int
    at_ns: int
    parent: int = 0
    status: int = 0
    cpu: int = 0
    sequence: int = 0


def parse_message(datagram: bytes | bytearray | memoryview) -> LifeMessage | None:
    """One datagram of the group; None where it tells of a thread or of something else. Raises ValueError."""
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
        return LifeMessage("fork", pid, at_ns, parent, 0, cpu, sequence) if _is_process(pid, tgid) else None
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


class ProcConnector:
    """A listening socket, for one thread. Raises OSError where the kernel refuses it.

    `overrun` says that messages were dropped, `lost` how many since it was made; `strange` counts what was no message.
    """

    def __init__(self, *, buffer_bytes: int) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, _NETLINK_CONNECTOR)
        self._buffer = bytearray(_MOST_BYTES)
        self._view = memoryview(self._buffer)
        self.overrun = False
        self.lost = 0
        self.strange = 0
        try:
            self._attach_filter()
            self._enlarge(buffer_bytes)
            self._socket.bind((0, _CN_IDX_PROC))
            self._say(LISTEN)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        try:
            self._say(IGNORE)
        except OSError:
            pass  # it ends with the socket, too
        self._socket.close()

    def receive(self, most: int) -> list[LifeMessage]:
        """What waits, in its order, and at most so much; never blocks. Fewer than `most` means that nothing waits."""
        found: list[LifeMessage] = []
        receive, view = self._socket.recvfrom_into, self._view
        while len(found) < most:
            try:
                size, sender = receive(view)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.overrun = True
                continue
            try:
                message = parse_message(view[:size]) if not sender[0] else None
            except ValueError:
                self.strange += 1
                continue
            if message is not None:
                found.append(message)
        return found

    def take_losses(self) -> int | None:
        """How many messages were dropped since the last call, 0 for none, None where the kernel does not count."""
        overrun, self.overrun = self.overrun, False
        try:
            dropped = _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_DROPS]
        except (OSError, struct.error):
            return None if overrun else 0
        lost = (dropped - self.lost) & 0xFFFFFFFF
        self.lost += lost
        return lost or (None if overrun else 0)

    def _attach_filter(self) -> None:
        program = create_string_buffer(FILTER, len(FILTER))
        described = struct.pack("@HP", len(FILTER) // 8, addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)

    def _enlarge(self, buffer_bytes: int) -> None:
        """The kernel doubles what is asked for, for its own bookkeeping, and counts that in."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes // 2)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes // 2)

    def _say(self, operation: int) -> None:
        size = _HEADER.size + _CONNECTOR.size + 4
        self._socket.send(
            _HEADER.pack(size, _NLMSG_DONE, 0, 0, os.getpid())
            + _CONNECTOR.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0)
            + struct.pack("=I", operation)
        )
