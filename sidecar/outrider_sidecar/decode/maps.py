"""/proc/PID/maps: the files that a process has mapped, proc_pid_maps(5). Pure.

The last column is text of the guarded task. The kernel writes a newline in it as `\\012` and leaves all other
bytes as they are, so a line is a mapping, and what follows the fifth blank-separated column is the name. A name
that ends in ` (deleted)` may be a file that was deleted, or be called so: inode and device decide.
"""

import os
from typing import Final

from msgspec import Struct

from outrider_wire.text import clean_text

DELETED: Final = " (deleted)"
MAX_MAPPINGS: Final = 65536
"""Most lines read of one process; vm.max_map_count is 65530 unless it was raised."""


class Mapping(Struct, frozen=True, gc=False):
    """One mapping of a file. `path` is as the kernel wrote it; `permissions` such as `r-xp`."""

    start: int
    end: int
    permissions: str
    offset: int
    dev: int
    ino: int
    path: str

    @property
    def executable(self) -> bool:
        return self.permissions[2:3] == "x"


def once_called(path: str) -> str:
    """The name that a mapped file had before it was deleted; a memfd keeps its mark, having had none."""
    return path if path.startswith("/memfd:") else path.removesuffix(DELETED)


def parse_line(line: bytes) -> Mapping:
    """One line without its newline. Raises ValueError."""
    columns = line.split(None, 5)
    if len(columns) < 5:
        raise ValueError(f"not a mapping: {line[:60]!r}")
    start, dash, end = columns[0].partition(b"-")
    major, colon, minor = columns[3].partition(b":")
    if not dash or not colon or len(columns[1]) != 4:
        raise ValueError(f"not a mapping: {line[:60]!r}")
    return Mapping(
        start=int(start, 16),
        end=int(end, 16),
        permissions=clean_text(columns[1], limit=4),
        offset=int(columns[2], 16),
        dev=_device(int(major, 16), int(minor, 16)),
        ino=int(columns[4]),
        path=clean_text(columns[5].replace(b"\\012", b"\n")) if len(columns) == 6 else "",
    )


def _device(major: int, minor: int) -> int:
    try:
        return os.makedev(major, minor)
    except OverflowError as error:
        raise ValueError(f"not a device: {major:x}:{minor:x}") from error


def parse_maps(raw: bytes) -> list[Mapping]:
    """Every mapping, files and others. Raises ValueError."""
    return [parse_line(line) for line in raw.split(b"\n")[:MAX_MAPPINGS] if line]


def executable_files(raw: bytes) -> list[Mapping]:
    """The files mapped executable, each once. A last line that was cut off is left out. Raises ValueError.

    Lines of other kinds are passed by unparsed: this is read of every process while a new library is about.
    """
    found: dict[tuple[int, int, str], Mapping] = {}
    for line in raw[: raw.rfind(b"\n") + 1].split(b"\n")[:MAX_MAPPINGS]:
        columns = line.split(None, 5)
        if len(columns) == 6 and columns[1][2:3] == b"x" and columns[4] != b"0":
            mapping = parse_line(line)
            found.setdefault((mapping.dev, mapping.ino, mapping.path), mapping)
    return list(found.values())
