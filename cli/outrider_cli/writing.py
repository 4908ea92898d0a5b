"""Writes a file whole or not at all: a reader, or a machine that goes down, finds the old one or the new one."""

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from outrider_wire.errors import ConfigError


def write_whole(path: Path, data: bytes, *, instead_of: bytes | None = None) -> None:
    """Put a file into its place, by way of one beside it that is synced first; its mode, its owner (as far as that is
    allowed) and a link to it stay.

    `instead_of` is what is believed to be there: where it is something else by now, nothing is written.
    A pipe or a terminal is written to as it is. Raises ConfigError.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
            return
        _write(path.resolve(), data, instead_of)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    except RuntimeError as error:
        # What pathlib before Python 3.13 makes of links that lead in a circle.
        raise ConfigError(f"{path}: cannot be written: {error}") from error


def write_standard_output(data: bytes) -> None:
    """All of it, or a word on why not. Raises ConfigError; a reader that went away is the caller's."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(f"standard output: cannot be written: {error.strerror}") from error


def _write(path: Path, data: bytes, instead_of: bytes | None) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            if path.exists():
                _give(file.fileno(), path.stat())
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if instead_of is not None and path.read_bytes() != instead_of:
            raise ConfigError(f"{path}: was changed by somebody else meanwhile; nothing was written")
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _give(handle: int, old: os.stat_result) -> None:
    """The new file to the old one's owner and group; whoever may not give it away keeps it."""
    made = os.fstat(handle)
    if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.fchown(handle, old.st_uid, old.st_gid)


def _sync_folder(folder: Path) -> None:
    """The name itself must be on disk, too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
