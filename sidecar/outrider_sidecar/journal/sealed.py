"""One sealed batch as a file, or in memory while the disk is full.

Shedding cuts bytes off its end: its events first, its findings in need. The signed head stays, so the chain holds
and the collector reads how much is missing. See `outrider_wire.batch`.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from outrider_wire.batch import BatchHeader, SealedBatch, peek_header
from outrider_wire.errors import WireError

SUFFIX = ".batch"

PARKED_SUFFIX = ".parked"

MAX_PARKED = 16
"""Most refused batches kept for one agent; the oldest goes first."""


class ShelvedBatch:
    """One sealed batch. `path` is None while it is held in memory (`data`). `whole` until something was cut off."""

    __slots__ = ("agent", "data", "path", "sequence", "size_bytes", "whole")

    def __init__(self, agent: str, sequence: int, *, size_bytes: int, path: Path | None, data: bytes | None) -> None:
        self.agent = agent
        self.sequence = sequence
        self.size_bytes = size_bytes
        self.path = path
        self.data = data
        self.whole = True

    def read(self) -> bytes:
        """The bytes to send. Raises OSError when the file is gone."""
        return self.path.read_bytes() if self.path is not None else self.data or b""

    def cut_events(self) -> tuple[int, int]:
        """Drop the events; returns the bytes won and how many events went."""
        header, signed_end = self._head()
        self.whole = False
        if header is None:
            return 0, 0
        return self._cut(signed_end + header.findings.size), header.events.count

    def cut_findings(self) -> tuple[int, int]:
        """Drop the findings too; returns the bytes won and how many findings went."""
        header, signed_end = self._head()
        if header is None:
            return 0, 0
        return self._cut(signed_end), header.findings.count

    def settle(self, directory: Path) -> bool:
        """Move a batch that is in memory to disk; False when the disk still takes none."""
        if self.data is None:
            return True
        path = directory / batch_name(self.sequence)
        if not write_whole(path, self.data):
            return False
        self.path, self.data = path, None
        return True

    def remove(self) -> None:
        """Forget the batch and its file."""
        self.data = None
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def park(self) -> None:
        """Put the file aside under another name; at most `MAX_PARKED` are kept."""
        self.data = None
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            self.path.rename(self.path.with_suffix(PARKED_SUFFIX))
            for old in sorted(self.path.parent.glob(f"*{PARKED_SUFFIX}"))[:-MAX_PARKED]:
                old.unlink(missing_ok=True)

    def _head(self) -> tuple[BatchHeader | None, int]:
        try:
            header, _, signed_end = peek_header(self.read())
        except (OSError, WireError):
            return None, 0  # a damaged file: it is sent as it is and refused there
        return header, signed_end

    def _cut(self, end: int) -> int:
        won = max(self.size_bytes - end, 0)
        if self.data is not None:
            self.data = self.data[:end]
        elif self.path is not None and won:
            try:
                os.truncate(self.path, end)
            except OSError:
                return 0
        self.size_bytes -= won
        return won


def batch_name(sequence: int) -> str:
    """The name of a batch's file; names sort as numbers do."""
    return f"{sequence:016d}{SUFFIX}"


def shelve(directory: Path, sealed: SealedBatch) -> ShelvedBatch:
    """Write a sealed batch in one rename, or hold it in memory when the disk will not have it."""
    header, data = sealed.header, sealed.data
    path = directory / batch_name(header.sequence)
    if write_whole(path, data):
        return ShelvedBatch(header.agent, header.sequence, size_bytes=len(data), path=path, data=None)
    return ShelvedBatch(header.agent, header.sequence, size_bytes=len(data), path=None, data=data)


def find_batches(directory: Path) -> Iterator[ShelvedBatch]:
    """The batches that lie in one agent's directory, in order."""
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        if path.stem.isdecimal():
            yield ShelvedBatch(directory.name, int(path.stem), size_bytes=path.stat().st_size, path=path, data=None)


def write_whole(path: Path, data: bytes) -> bool:
    """Write a private file in one rename; False, and nothing there, when the disk will not have it."""
    draft = path.with_suffix(".tmp")
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, "written in part")
        finally:
            os.close(fd)
        draft.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        return False
    return True
