"""The packet tap: packet(7), with a classic BPF filter that leaves nearly everything in the kernel.

Facts that shape this file:

- A packet socket of type SOCK_DGRAM is "cooked": the packet begins at its network header whatever the link is
  (Ethernet, loopback, a tunnel; a VLAN tag is already taken off), for the filter and for the reader alike.
- Only protocol ETH_P_ALL shows packets that leave. A socket made with protocol 0 sees nothing until it is bound:
  so the filter is attached first and bound afterwards, and no unfiltered packet is ever queued.
- For each packet that leaves, the kernel clones its descriptor before any filter runs, whatever the filter says then;
  a packet that arrives is filtered first. PACKET_IGNORE_OUTGOING (Linux 4.20) spares the clone, and all that leaves.
- On loopback each packet is shown twice, leaving and arriving. So a tap of loopback alone asks to be spared, and a
  tap of everything drops the leaving one in its filter, after the clone.
- A filter's time goes into loads: those from a fixed place are a few instructions, those by the index register are
  calls. Of a segment that leaves, the payload lies apart from the headers, and a load from it is always a call.
- A VLAN device or a bridge may show one packet on two interfaces: readers must bear repeats.
- A load past the end of a packet drops it: "there is a payload" is asked by loading its first byte. Link padding
  can lie about that by six bytes, so the reader cuts by the lengths in the headers.
- An IPv6 packet may carry extension headers, which a filter without loops cannot walk. They are rare and a
  program may add them to its SYN by setsockopt to hide: all such packets are passed, and judged by the reader.
- The filter keeps no state, so it cannot pass "the rest of that ClientHello": all data of all connections would
  have to pass. A hello in two segments is read as far as its first one goes. Most hosts hand over the whole hello
  at once (loopback, segmentation offload), and most libraries put the server name first; the rest is counted.
- The kernel counts what did not fit the receive buffer; reading the count sets it back to 0. SO_RCVBUF is held
  down by net.core.rmem_max; SO_RCVBUFFORCE needs CAP_NET_ADMIN, which a task does not have.
- The socket belongs to the network namespace of the thread that made it, for ever.

Port translation inside the namespace (Docker's embedded resolver at 127.0.0.11, transparent proxies) happens
before the tap: such DNS does not show port 53 here and is not decoded.
"""

import ctypes
import errno
import socket
import struct
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Final, Self

from msgspec import Struct

from outrider_sidecar.linux.bpf import assemble
from outrider_sidecar.linux.libc import check, function
from outrider_sidecar.linux.recvmsg import MessageReceiver, find_control
from outrider_wire.errors import Unavailable

ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_IPV6: Final = 0x86DD
HEAD_BYTES: Final = 256
"""What is kept of a SYN: the largest IPv4 and TCP headers are 120 bytes."""
HELLO_BYTES: Final = 4096
"""What is kept of a segment with a ClientHello; post-quantum key shares make them about 1,800 bytes."""
WHOLE_BYTES: Final = 65535
RECEIVE_BUFFER_BYTES: Final = 8 << 20
"""Asked for; without CAP_NET_ADMIN the kernel grants net.core.rmem_max at most (often 208 KiB, some 250 packets)."""

EVERYWHERE: Final = 0
"""In place of an interface's index: all of them, also those to come."""
LOOPBACK: Final = 1
"""The index of the loopback interface, in every network namespace."""

_ETH_P_ALL: Final = 0x0003
_SO_ATTACH_FILTER: Final = 26
_SO_RCVBUFFORCE: Final = 33
_SO_TIMESTAMPNS: Final = 35
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_PACKET_IGNORE_OUTGOING: Final = 23
_PACKET_OUTGOING: Final = 4
_ADDRESS: Final = struct.Struct("@HHiHBB8s")  # struct sockaddr_ll
_TIMESPEC: Final = struct.Struct("@qq")


class _Receiving(threading.local):
    """What a thread receives packets with: one memory for all its taps in turn."""

    def __init__(self) -> None:
        self.receiver = MessageReceiver(size_bytes=WHOLE_BYTES)


_of_thread: Final = _Receiving()


def _segment(at: int) -> str:
    """The part of the filter for a TCP header at a known place: `tcp:` without the index register, in the main."""
    return f"""
    tcp{at}: byte    {at + 13}
            ifset   0x02    head
            x       {at}
            half    {at}
            ifeq    53      data
            half    {at + 2}
            ifeq    53      data
            byte    {at + 12}
            ifne    0x80    tail        ; a header of 32 bytes: with the time stamps that nearly all have
            byte    {at + 32}
            ifne    0x16    none
            byte    {at + 33}
            ifne    0x03    none
            byte    {at + 37}
            ifne    0x01    none
            pass    {HELLO_BYTES}
    """


FILTER: Final = f"""
            meta    pkttype
            ifeq    3       none        ; PACKET_OTHERHOST: seen in promiscuous mode, not ours
            ifne    4       ours        ; PACKET_OUTGOING
            meta    hatype
            ifeq    772     none        ; ARPHRD_LOOPBACK: it will be shown again, arriving
    ours:   meta    proto
            ifeq    0x0800  ipv4
            ifeq    0x86dd  ipv6
            drop
    ipv4:   half    6
            ifset   0x1fff  none        ; a later fragment has no ports
            byte    0
            ifne    0x45    long        ; no options: nearly always
            byte    9
            ifeq    6       tcp20
            ifeq    17      udp20
            drop
    long:   xheader 0
            byte    9
            ifeq    6       tcp
            ifeq    17      udp
            drop
    ipv6:   x       40
            byte    6
            ifeq    6       tcp40
            ifeq    17      udp
            ifeq    0       whole       ; hop-by-hop options
            ifeq    43      whole       ; routing
            ifeq    44      whole       ; fragment
            ifeq    51      whole       ; authentication
            ifeq    60      whole       ; destination options
            drop
{_segment(20)}
{_segment(40)}
    udp20:  x       20
    udp:    xhalf   0
            ifeq    53      whole
            xhalf   2
            ifeq    53      whole
            drop
    tcp:    xbyte   13
            ifset   0x02    head        ; SYN, with ACK or without
            xhalf   0
            ifeq    53      data
            xhalf   2
            ifeq    53      data
            xbyte   12
    tail:   right   2                   ; the data offset, in words of 4 bytes, is in the upper half
            and     0x3c
            addx
            tax                         ; X is where the payload begins
            xbyte   0
            ifne    0x16    none        ; TLS handshake record
            xbyte   1
            ifne    0x03    none        ; TLS 1.x
            xbyte   5
            ifne    0x01    none        ; ClientHello
            pass    {HELLO_BYTES}
    data:   xbyte   12
            right   2
            and     0x3c
            addx
            tax
            xbyte   0                   ; a segment without payload ends here
    whole:  pass    {WHOLE_BYTES}
    head:   pass    {HEAD_BYTES}
    none:   drop
"""


# socket.bind wants the name of an interface, which may change; this one takes its index
_bind: Final = function("bind", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


class Captured(Struct, frozen=True, gc=False):
    """A packet that the filter passed: `data` from its network header on, perhaps cut. `interface` is an index."""

    at_ns: int
    data: bytes
    ethertype: int
    outgoing: bool
    interface: int


class PacketTap:
    """A tap on one interface, up or down, of the network namespace it is made in, or on all. For one thread.

    Raises Unavailable when the socket or its filter is refused, and OSError (ENODEV) when there is no such interface.
    """

    def __init__(self, interface: int = EVERYWHERE, *, buffer_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        self.interface = interface
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        except OSError as error:
            remedy = "give the sidecar CAP_NET_RAW" if error.errno in (errno.EPERM, errno.EACCES) else ""
            raise Unavailable(f"socket(AF_PACKET) was refused: {error.strerror}", remedy) from error
        try:
            self._prepare(buffer_bytes)
        except OSError as error:
            self._socket.close()
            if error.errno == errno.ENODEV:
                raise
            raise Unavailable(f"the packet filter was refused: {error.strerror}") from error

    def _prepare(self, buffer_bytes: int) -> None:
        program = _program()
        code = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        if self.interface == LOOPBACK:
            with suppress(OSError):  # an older kernel clones, and the filter drops
                self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        place = _ADDRESS.pack(socket.AF_PACKET, socket.htons(_ETH_P_ALL), self.interface, 0, 0, 0, b"")
        check(_bind(self._socket.fileno(), place, len(place)), "bind(AF_PACKET)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    @property
    def buffer_bytes(self) -> int:
        """The receive buffer that the kernel granted."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    @property
    def is_over(self) -> bool:
        """Whether the interface it was made for is gone; what it had seen can still be received."""
        return self.interface != EVERYWHERE and not self._socket.getsockname()[0]

    def receive(self) -> Captured | None:
        """The next packet, or None when nothing waits. Never blocks."""
        try:
            received = _of_thread.receiver.receive(self._socket.fileno())
        except OSError as error:
            if error.errno == errno.ENETDOWN:  # an interface went down; told once, and what was queued is still there
                return self.receive()
            raise
        if received is None or len(received.name) < _ADDRESS.size:
            return None
        _, ethertype, interface, _, packet_type, _, _ = _ADDRESS.unpack_from(received.name)
        return Captured(
            at_ns=_timestamp_ns(received.control) or time.time_ns(),
            data=received.data,
            ethertype=socket.ntohs(ethertype),
            outgoing=packet_type == _PACKET_OUTGOING,
            interface=interface,
        )

    def take_lost(self) -> int:
        """How many packets did not fit the receive buffer since this was last asked."""
        counts = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", counts)[1])


@cache
def _program() -> bytes:
    return assemble(FILTER)


def _timestamp_ns(control: bytes) -> int:
    stamp = find_control(control, socket.SOL_SOCKET, _SO_TIMESTAMPNS)
    if len(stamp) < _TIMESPEC.size:
        return 0
    seconds, nanoseconds = _TIMESPEC.unpack_from(stamp)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
