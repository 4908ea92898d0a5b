"""prctl(2): what a process says about itself to the kernel.

Facts that shape this file:

- A process with PR_SET_DUMPABLE 0 has its /proc files owned by root and is closed to every reader that lacks
  SYS_PTRACE over it. execve(2) of an ordinary program sets it back to 1: set it at the start of every process.
- PR_SET_PDEATHSIG is cleared by fork and holds for the death of the *thread* that forked us. The parent may be
  dead already when it is set: compare getppid afterwards.
- PR_SET_NAME names one thread, in at most 15 bytes.
- Under Yama's ptrace_scope 1 only an ancestor may trace; PR_SET_PTRACER names one more process whose
  descendants may. It fails with EINVAL where Yama is not built in, and then it is not needed.
"""

import ctypes
import os
import signal

from outrider_sidecar.linux.libc import check, function

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_PTRACER = 0x59616D61

_prctl = function("prctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


def set_dumpable(dumpable: bool) -> None:
    """Open or close this process's memory, environment and root to readers without SYS_PTRACE."""
    check(_prctl(PR_SET_DUMPABLE, int(dumpable), 0, 0, 0), "prctl PR_SET_DUMPABLE")


def is_dumpable() -> bool:
    """Whether this process is open to readers of its own uid."""
    return check(_prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), "prctl PR_GET_DUMPABLE") == 1


def set_parent_death_signal(number: signal.Signals) -> None:
    """Ask for a signal at the death of the thread that forked this process."""
    check(_prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0), "prctl PR_SET_PDEATHSIG")


def set_name(name: str) -> None:
    """Name the calling thread, as shown in /proc/PID/comm; 15 bytes are kept."""
    text = ctypes.create_string_buffer(os.fsencode(name)[:15])
    check(_prctl(PR_SET_NAME, ctypes.addressof(text), 0, 0, 0), "prctl PR_SET_NAME")


def allow_tracer(pid: int) -> None:
    """Let a process and its descendants trace this one under Yama; nothing where Yama is not there."""
    _prctl(PR_SET_PTRACER, pid, 0, 0, 0)
