"""Where an agent's chain stands: the next sequence number and the digest of the batch before it.

Both are the *name* of an empty file. Moving on is one rename: atomic, and possible on a disk that is full, when
nothing else is.
"""

import os
import re
from pathlib import Path

from msgspec import Struct

from outrider_sidecar.journal.sealed import find_batches
from outrider_wire.batch import FIRST_PREVIOUS, peek_header
from outrider_wire.errors import WireError

_NAME = re.compile(r"position-(\d{16})-([0-9a-f]{64})")


class Position(Struct, frozen=True):
    """The next batch's `sequence` and `previous`."""

    sequence: int = 0
    previous: bytes = FIRST_PREVIOUS

    @property
    def name(self) -> str:
        """The file name that says this."""
        return f"position-{self.sequence:016d}-{self.previous.hex()}"


def read_position(directory: Path) -> Position:
    """Where the chain of this agent's directory stands: by its position, or by a batch that lies beyond it.

    Raises:
        OSError: the directory cannot be read.
    """
    names = [match for name in os.listdir(directory) if (match := _NAME.fullmatch(name))]
    position = max(
        (Position(int(match[1]), bytes.fromhex(match[2])) for match in names),
        key=lambda each: each.sequence,
        default=Position(),
    )
    for batch in find_batches(directory):
        if batch.sequence >= position.sequence:
            try:
                _, digest, _ = peek_header(batch.read())
            except (OSError, WireError):
                continue
            position = Position(batch.sequence + 1, digest)
    return position


def write_position(directory: Path, old: Position, new: Position) -> None:
    """Move the position from `old` to `new`. Raises OSError when not even a name can be changed."""
    try:
        (directory / old.name).rename(directory / new.name)
    except FileNotFoundError:
        fd = os.open(directory / new.name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(fd)
