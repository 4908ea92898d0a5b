"""sigtimedwait(2): waiting for blocked signals, without Python's own, which may tell of one that never came.

A stop that is continued, a thawed control group and a suspended machine end the call with EINTR. Python's
`signal.sigtimedwait` then waits for what is left of the time, and where nothing is left it returns a siginfo that
nobody filled in (seen in 3.11): its number is whatever lay there, often that of the last signal. Who takes that for
SIGTERM ends because somebody was stopped for a moment. So the call is made here, and an interrupted one is no signal.
"""

import ctypes
import errno
import signal
from collections.abc import Collection
from typing import Final

from outrider_sidecar.linux.libc import check, function

_SET_BYTES: Final = 128  # glibc's sigset_t; musl's is as long


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


_empty: Final = function("sigemptyset", ctypes.c_void_p)
_add: Final = function("sigaddset", ctypes.c_void_p, ctypes.c_int)
_wait: Final = function("sigtimedwait", ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(_Timespec))


class SignalWait:
    """Waits for some signals, which the calling thread must have blocked."""

    def __init__(self, signals: Collection[int]) -> None:
        self._set = ctypes.create_string_buffer(_SET_BYTES)
        check(_empty(self._set), "sigemptyset")
        for number in signals:
            check(_add(self._set, number), "sigaddset")

    def wait(self, timeout_s: float) -> signal.Signals | None:
        """The next signal; None when the time is up, or the wait was cut short."""
        whole_s = int(timeout_s)
        timeout = _Timespec(whole_s, int((timeout_s - whole_s) * 1e9))
        number: int = _wait(self._set, None, ctypes.byref(timeout))
        if number > 0:
            return signal.Signals(number)
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            check(number, "sigtimedwait")
        return None
