"""The journal's directory: private to the sidecar, and written by one process at a time."""

import fcntl
import os
import time
from pathlib import Path

from outrider_wire.errors import ConfigError

LOCK_WAIT_S = 2.0
"""How long a successor waits for a dying process to let go."""


def make_private(directory: Path) -> None:
    """Make the directory 0700, or take that mode for one that is there. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_mode & 0o077:
        directory.chmod(0o700)


def check_directory(directory: Path) -> None:
    """See that the directory can be used, by doing it; nobody holds it afterwards.

    Raises:
        ConfigError: it cannot be, or another process writes to it.
    """
    try:
        make_private(directory)
        os.close(hold_lock(directory))
    except OSError as error:
        raise ConfigError(f"the journal {directory} cannot be used: {error.strerror or error}") from error


def hold_lock(directory: Path) -> int:
    """Become the journal's one writer until the returned descriptor is closed.

    Raises:
        ConfigError: another process writes to it.
        OSError: the lock file cannot be opened.
    """
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                raise ConfigError(f"the journal {directory} is written by another process; give each its own") from None
            time.sleep(0.02)
