"""The spool: every accepted batch as it came, on disk before its sender is told so.

Files `%016d.spool` hold frames of

    length u32 | CRC-32 of the rest u32 | received_at_ns u64 | the batch

little-endian, the length being the batch's alone. A crash tears at most the last frame of a file; each start
begins a new file, so nothing is ever appended behind a torn frame. The directory is fsynced with a new file.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

MAX_FILE_BYTES = 64 << 20
"""Length after which a new file is begun."""

_HEAD = struct.Struct("<II")
_TIME = struct.Struct("<Q")


class Place(Struct, frozen=True, order=True):
    """Where a frame begins, or the next one would."""

    file: int
    offset: int


class Frame(Struct, frozen=True):
    """One batch of the spool; `end` is the place behind it."""

    place: Place
    end: Place
    received_at_ns: int
    data: bytes


class Spool:
    """The spool in a directory; one thread writes. Raises OSError when the directory cannot be used."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._fd = -1
        self._end = Place(max(self._files(), default=0), 0)
        self.written = Place(0, 0)
        """Behind the last frame that was ever written; nothing is known to be there at first."""
        self._begin_file()

    @property
    def directory(self) -> Path:
        """Where it lies."""
        return self._directory

    @property
    def end(self) -> Place:
        """Where the next frame would begin."""
        return self._end

    def append(self, batches: Sequence[tuple[int, bytes]]) -> list[Frame]:
        """Write (received_at_ns, batch) pairs and fsync once; on return they are kept.

        Raises:
            OSError: nothing of them was kept.
        """
        if self._end.offset >= MAX_FILE_BYTES or self._fd < 0:
            self._begin_file()
        frames, parts, offset = [], [], self._end.offset
        for received_at_ns, data in batches:
            packed = _pack(received_at_ns, data)
            end = Place(self._end.file, offset + len(packed))
            frames.append(Frame(Place(self._end.file, offset), end, received_at_ns, data))
            parts.append(packed)
            offset = end.offset
        self._write(b"".join(parts))
        self._end = self.written = Place(self._end.file, offset)
        return frames

    def read_from(self, start: Place) -> Iterator[Frame]:
        """Every whole frame at or after `start`."""
        return self.read_only(self._directory, start)

    @staticmethod
    def read_only(directory: Path, start: Place) -> Iterator[Frame]:
        """The same of a directory that somebody else may write to."""
        for number in _files(directory):
            if number >= start.file:
                raw = _path(directory, number).read_bytes()
                yield from _frames(raw, number, start.offset if number == start.file else 0)

    def forget(self, below: int, keep_bytes: int) -> None:
        """Remove the oldest files numbered under `below` until at most `keep_bytes` are left."""
        sizes = {number: self._path(number).stat().st_size for number in self._files()}
        for number in sorted(sizes):
            if number >= below or sum(sizes.values()) <= keep_bytes:
                return
            self._path(number).unlink()
            del sizes[number]

    def close(self) -> None:
        """Close the file being written."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _write(self, raw: bytes) -> None:
        try:
            if os.write(self._fd, raw) != len(raw):
                raise OSError("the spool took a batch in part")
            os.fdatasync(self._fd)
        except OSError:
            self.close()  # what is behind this point may be torn: go on in a new file
            raise

    def _begin_file(self) -> None:
        self.close()
        number = self._end.file + 1
        self._fd = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._end = Place(number, 0)

    def _path(self, number: int) -> Path:
        return _path(self._directory, number)

    def _files(self) -> list[int]:
        return _files(self._directory)


def _path(directory: Path, number: int) -> Path:
    return directory / f"{number:016d}.spool"


def _files(directory: Path) -> list[int]:
    return sorted(int(path.stem) for path in directory.glob("*.spool") if path.stem.isdecimal())


def _pack(received_at_ns: int, data: bytes) -> bytes:
    rest = _TIME.pack(received_at_ns) + data
    return _HEAD.pack(len(data), zlib.crc32(rest)) + rest


def _frames(raw: bytes, file: int, offset: int) -> Iterator[Frame]:
    while len(raw) - offset >= _HEAD.size + _TIME.size:
        length, crc = _HEAD.unpack_from(raw, offset)
        rest = raw[offset + _HEAD.size : offset + _HEAD.size + _TIME.size + length]
        if len(rest) != _TIME.size + length or zlib.crc32(rest) != crc:
            return
        end = Place(file, offset + _HEAD.size + len(rest))
        yield Frame(Place(file, offset), end, _TIME.unpack_from(rest)[0], rest[_TIME.size :])
        offset = end.offset
