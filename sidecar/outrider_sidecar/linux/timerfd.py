"""timerfd(2): a timer that a poll can wait for beside other descriptors. Python 3.11 has none.

A timer that has run out is readable until it is set anew, also to nothing; that needs no read.
"""

import ctypes
import os
from typing import Final

from outrider_sidecar.linux.libc import check, function

_MONOTONIC: Final = 1
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_SECOND_NS: Final = 1_000_000_000


class _TimerSpec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


_create = function("timerfd_create", ctypes.c_int, ctypes.c_int)
_settime = function("timerfd_settime", ctypes.c_int, ctypes.c_int, ctypes.POINTER(_TimerSpec), ctypes.c_void_p)


class Timer:
    """One timer, stopped. Raises OSError."""

    def __init__(self) -> None:
        self._fd = check(_create(_MONOTONIC, _FLAGS), "timerfd_create")

    def fileno(self) -> int:
        return self._fd

    def start(self, after_ns: int) -> None:
        """Become readable once, after this."""
        spec = _TimerSpec(0, 0, *divmod(after_ns, _SECOND_NS))
        check(_settime(self._fd, 0, ctypes.byref(spec), None), "timerfd_settime")

    def stop(self) -> None:
        """Be readable no more."""
        self.start(0)

    def close(self) -> None:
        os.close(self._fd)
