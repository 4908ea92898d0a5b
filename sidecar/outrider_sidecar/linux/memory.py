"""Keeping the sidecar's memory small: what the C library and the collector do by themselves costs a third more.

Facts that shape this file:

- glibc gives each thread an arena of its own (mallopt(3), M_ARENA_MAX): what one thread freed no other uses. One
  arena is enough where the interpreter's lock lets one thread at a time allocate anyway.
- free(3) returns memory to the kernel only from the end of the heap; malloc_trim(3) also gives back whole free
  pages in its middle. A large read-in (rules, the first look at a task's files) leaves many.
- A fork shares every page until one side writes. A garbage collection writes into the header of each container
  object, so the first one in a child copies most of what was shared; gc.freeze() before the fork keeps those
  objects out of it.

musl has neither call; there this does what it can.
"""

import ctypes
import gc

from outrider_sidecar.linux.libc import function

M_ARENA_MAX = -8
M_TRIM_THRESHOLD = -1
TRIM_THRESHOLD_BYTES = 128 * 1024


def use_one_arena() -> None:
    """Have all threads share one arena. To be called before the first thread."""
    try:
        mallopt = function("mallopt", ctypes.c_int, ctypes.c_int)
    except AttributeError:
        return
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)


def settle_before_fork() -> None:
    """Throw away what is garbage, give back what is free, and keep the collector off what children will share."""
    gc.collect()
    gc.freeze()
    give_back()


def give_back() -> None:
    """Return free pages to the kernel; takes some milliseconds."""
    try:
        trim = function("malloc_trim", ctypes.c_size_t)
    except AttributeError:
        return
    trim(0)
