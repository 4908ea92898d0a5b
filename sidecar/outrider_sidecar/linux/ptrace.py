"""ptrace(2) as the tracer uses it: SEIZE, four kinds of stop, and letting go.

Facts that shape this file, and what we make of them:

- SEIZE attaches without stopping and without a signal. It never interrupts a system call, so a program that
  sits in epoll_wait(2) does not see EINTR. ATTACH sends a SIGSTOP that leaks, and INTERRUPT makes such calls
  fail with EINTR: neither is used on a guarded program.
- A tracer that ends frees its tracees: those in a stop go on with the signal they stopped for, those in a
  group-stop stay stopped, those running notice nothing. That is how we let go of running ones, too.
- waitpid(2) tells of every stop in `status`: bits 8-15 are the signal, 16-23 the event. Event 0 is a
  signal-delivery-stop: the signal must be handed back with CONT or it is lost. EVENT_STOP with a stopping
  signal is a group-stop: LISTEN keeps it stopped and open to SIGCONT, CONT would break job control. EVENT_STOP
  with SIGTRAP is a new child's first stop or the end of a group-stop.
- Children made under TRACEFORK, VFORK and CLONE are attached before they are visible, with their parent's
  options; their first stop may be reported before their parent's event.
- At an exec from a thread that is not the leader the stop is reported with the leader's pid; the event message
  is the thread's old tid; every other thread is gone.
- Between waitpid and the next request SIGKILL may strike: every request may fail with ESRCH. That is not an
  error, the end is reported next. The hot requests therefore answer False instead of raising.
- A request goes only to the thread that seized: one thread of one process does all of this.
- EVENT_EXIT stops before descriptors are closed. A tracee let go with DETACH there ends as if untraced: its
  parent is woken at once, and not only when the tracer has reaped it.
"""

import ctypes
import signal
from typing import Final

from outrider_sidecar.linux.libc import check, function

CONT: Final = 7
DETACH: Final = 17
SETOPTIONS: Final = 0x4200
GETEVENTMSG: Final = 0x4201
GETSIGINFO: Final = 0x4202
GETREGSET: Final = 0x4204
SEIZE: Final = 0x4206
INTERRUPT: Final = 0x4207
LISTEN: Final = 0x4208

O_TRACEFORK: Final = 0x02
O_TRACEVFORK: Final = 0x04
O_TRACECLONE: Final = 0x08
O_TRACEEXEC: Final = 0x10
O_TRACEEXIT: Final = 0x40

EVENT_FORK: Final = 1
EVENT_VFORK: Final = 2
EVENT_CLONE: Final = 3
EVENT_EXEC: Final = 4
EVENT_EXIT: Final = 6
EVENT_STOP: Final = 128

THREAD_OPTIONS: Final = O_TRACEFORK | O_TRACEVFORK | O_TRACECLONE | O_TRACEEXEC
LEADER_OPTIONS: Final = THREAD_OPTIONS | O_TRACEEXIT
"""A thread's own end tells nothing: only leaders stop at their exit."""

WALL: Final = 0x40000000
WNOHANG: Final = 1
NT_PRSTATUS: Final = 1

GROUP_STOPS: Final = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})

_ptrace = function("ptrace", *(ctypes.c_long,) * 4, result=ctypes.c_long)

# The same functions for what is done at every stop: nobody asks for their errno, and the tracer's one thread has
# nobody to hand the GIL to. Argument types are not declared, because ctypes would convert each by a call of its
# own: integers go as C ints, addresses as `byref` objects.
_fast = ctypes.PyDLL(None)
_request = _fast.ptrace
_wait = _fast.waitpid
_read_memory = _fast.process_vm_readv
_process_vm_readv = function(
    "process_vm_readv",
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
    result=ctypes.c_ssize_t,
)

_status = ctypes.c_int()
_status_at = ctypes.byref(_status)
_message = ctypes.c_ulong()
_message_at = ctypes.byref(_message)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_local, _remote = _Iovec(), _Iovec()
_local_at, _remote_at = ctypes.byref(_local), ctypes.byref(_remote)
_memory = ctypes.create_string_buffer(256 * 1024)
_memory_view = memoryview(_memory).cast("B")
_local.base = ctypes.addressof(_memory)
MAX_READ_BYTES: Final = len(_memory_view)


def seize(tid: int, options: int) -> None:
    """Attach to one thread. Raises OSError: EPERM (already traced, or forbidden), ESRCH (gone or a zombie)."""
    check(_ptrace(SEIZE, tid, 0, options), f"ptrace SEIZE {tid}")


def resume(tid: int, signal_number: int = 0) -> bool:
    """Let a stopped tracee go on, delivering the signal; False where it was killed meanwhile."""
    return _request(CONT, tid, 0, signal_number) == 0  # type: ignore[no-any-return]  # a C function


def listen(tid: int) -> bool:
    """Leave a tracee in its group-stop, open to SIGCONT; False where it was killed meanwhile."""
    return _request(LISTEN, tid, 0, 0) == 0  # type: ignore[no-any-return]  # a C function


def detach(tid: int, signal_number: int = 0) -> bool:
    """Let a stopped tracee go for good, delivering the signal; False where it was killed meanwhile."""
    return _request(DETACH, tid, 0, signal_number) == 0  # type: ignore[no-any-return]  # a C function


def set_options(tid: int, options: int) -> bool:
    """Change the options of a stopped tracee; False where it was killed meanwhile."""
    return _request(SETOPTIONS, tid, 0, options) == 0  # type: ignore[no-any-return]  # a C function


def interrupt(tid: int) -> bool:
    """Stop a running tracee (for the probe and tests: it makes some system calls fail with EINTR)."""
    return _request(INTERRUPT, tid, 0, 0) == 0  # type: ignore[no-any-return]  # a C function


def event_message(tid: int) -> int | None:
    """New pid, old tid or exit status of the current event stop; None where the tracee was killed meanwhile."""
    if _request(GETEVENTMSG, tid, 0, _message_at) == 0:
        return _message.value
    return None


def stop_signal_info(tid: int) -> bytes:
    """The raw siginfo_t of the current signal-delivery-stop. Raises OSError: EINVAL marks a group-stop."""
    info = ctypes.create_string_buffer(128)
    check(_ptrace(GETSIGINFO, tid, 0, ctypes.addressof(info)), f"ptrace GETSIGINFO {tid}")
    return info.raw


def registers(tid: int) -> bytes:
    """The general registers of a stopped tracee; 32-bit tracees give a shorter block. Raises OSError."""
    room = ctypes.create_string_buffer(1024)
    vector = _Iovec(ctypes.addressof(room), len(room))
    check(_ptrace(GETREGSET, tid, NT_PRSTATUS, ctypes.addressof(vector)), f"ptrace GETREGSET {tid}")
    return room.raw[: vector.length]


def wait_any(flags: int = WALL) -> tuple[int, int]:
    """(tid, status) of the next report; tid 0: nothing yet; below 0: a signal came, or there is nobody to wait for."""
    tid: int = _wait(-1, _status_at, flags)
    return tid, _status.value


def wait_soon(spins: int) -> tuple[int, int]:
    """As `wait_any`, asking up to `spins` times before it sleeps."""
    for _ in range(spins):
        tid: int = _wait(-1, _status_at, WALL | WNOHANG)
        if tid:
            return tid, _status.value
    return wait_any()


def read_memory(pid: int, address: int, size_bytes: int) -> bytes:
    """Up to `size_bytes` (and MAX_READ_BYTES) of a process's memory, less where the mapping ends. Raises OSError."""
    size_bytes = min(size_bytes, MAX_READ_BYTES)
    _local.length = _remote.length = size_bytes
    _remote.base = address
    count = _read_memory(pid, _local_at, 1, _remote_at, 1, 0)
    if count < 0:  # once more, for the reason
        count = check(_process_vm_readv(pid, _local_at, 1, _remote_at, 1, 0), f"process_vm_readv {pid}")
    return bytes(_memory_view[:count])
