"""What a file is, by its first bytes: ELF, script or other; and what an ELF file is for, by its headers.

Pure: bytes in, facts out. The layout is that of elf(5); both word sizes and both byte orders are read, because a
container may hold anything. Every number in a header is hostile: nothing is read beyond the bytes given.
"""

import struct
from typing import Final, Literal

from msgspec import Struct

Kind = Literal["elf", "script", "other"]

ET_EXEC: Final = 2
ET_DYN: Final = 3
PT_DYNAMIC: Final = 2
PT_INTERP: Final = 3
PT_NOTE: Final = 4
NT_GNU_BUILD_ID: Final = 3
DT_FLAGS_1: Final = 0x6FFFFFFB
DF_1_PIE: Final = 0x08000000

HEADER_BYTES: Final = 4096
"""What is read of an ELF file: its header, its program headers and, as linkers lay it out, its build id."""

MAX_SEGMENTS: Final = 128
MAX_BUILD_ID: Final = 64


class Segment(Struct, frozen=True, gc=False):
    """One program header: where it lies in the file."""

    kind: int
    offset: int
    size: int


class ElfHead(Struct, frozen=True, gc=False):
    """What the headers say. `build_id` is hex, empty where there is none within the bytes given."""

    is_64_bit: bool
    little_endian: bool
    type: int
    machine: int
    segments: tuple[Segment, ...]
    build_id: str = ""

    @property
    def has_interpreter(self) -> bool:
        """It names a dynamic loader: programs do, and the C library itself."""
        return any(segment.kind == PT_INTERP for segment in self.segments)

    @property
    def dynamic(self) -> Segment | None:
        return next((segment for segment in self.segments if segment.kind == PT_DYNAMIC), None)


def kind_of(head: bytes) -> Kind:
    """What a file is by its first bytes."""
    if head.startswith(b"\x7fELF"):
        return "elf"
    return "script" if head.startswith(b"#!") else "other"


def parse_elf(head: bytes) -> ElfHead:
    """The headers of an ELF file from its first HEADER_BYTES. Raises ValueError for anything else."""
    if not head.startswith(b"\x7fELF") or len(head) < 20 or head[4] not in (1, 2) or head[5] not in (1, 2):
        raise ValueError(f"not an ELF header: {head[:6]!r}")
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    kind, machine = struct.unpack_from(f"{order}HH", head, 16)
    try:
        table = struct.unpack_from(f"{order}Q", head, 32)[0] if wide else struct.unpack_from(f"{order}I", head, 28)[0]
        size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    except struct.error as error:
        raise ValueError(f"ELF header is short: {len(head)} bytes") from error
    segments = _segments(head, table, size, min(count, MAX_SEGMENTS), wide, order)
    return ElfHead(wide, order == "<", kind, machine, segments, _build_id(head, segments, order))


def _segments(head: bytes, table: int, size: int, count: int, wide: bool, order: str) -> tuple[Segment, ...]:
    layout = struct.Struct(f"{order}IIQQQQQQ" if wide else f"{order}IIIIIIII")
    found = []
    for index in range(count):
        at = table + index * size
        if size < layout.size or at + layout.size > len(head):
            break
        fields = layout.unpack_from(head, at)
        found.append(Segment(fields[0], fields[2] if wide else fields[1], fields[5] if wide else fields[4]))
    return tuple(found)


def _build_id(head: bytes, segments: tuple[Segment, ...], order: str) -> str:
    for segment in segments:
        if segment.kind == PT_NOTE:
            notes = head[segment.offset : segment.offset + segment.size]
            if found := _note(notes, order):
                return found.hex()
    return ""


def _note(notes: bytes, order: str) -> bytes:
    """The description of the first GNU build id note."""
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from(f"{order}III", notes, at)
        name_at = at + 12
        content_at = name_at + (name_size + 3 & ~3)
        if kind == NT_GNU_BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
            return notes[content_at : content_at + min(size, MAX_BUILD_ID)]
        at = content_at + (size + 3 & ~3)
    return b""


def is_pie(dynamic: bytes, elf: ElfHead) -> bool:
    """The dynamic section says that this is a program and not a library (DF_1_PIE)."""
    order = "<" if elf.little_endian else ">"
    entry = struct.Struct(f"{order}qQ" if elf.is_64_bit else f"{order}iI")
    whole = len(dynamic) - len(dynamic) % entry.size
    for tag, value in entry.iter_unpack(dynamic[:whole]):
        if tag == 0:
            break
        if tag == DT_FLAGS_1:
            return bool(value & DF_1_PIE)
    return False
