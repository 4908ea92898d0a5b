"""The one place where C functions are bound; every caller gets OSError with its errno, translated once.

ctypes with use_errno releases the GIL during the call. Argument types are declared beside each use.
"""

import ctypes
import os
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """The result of a C call, or OSError with the errno it left and the name of what was tried."""
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def function(name: str, *argument_types: Any, result: Any = ctypes.c_int) -> Any:
    """A C function with declared types. Any: ctypes functions have no static type."""
    bound = LIBC[name]
    bound.argtypes = argument_types
    bound.restype = result
    return bound
