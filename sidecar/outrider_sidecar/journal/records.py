"""Records of a journal segment: how they are framed, and how a torn or damaged segment is read.

A record is a msgpack `bin` object of CRC-32 (4 bytes, little-endian, over the rest), one letter, and a payload:
`F` an encoded Finding, `E` an encoded Event, `L` an encoded (sense, number) of something lost. Reading stops at
the first record that is not whole; what follows is counted in bytes and never guessed at.
"""

import zlib
from collections.abc import Iterator

import msgpack
import msgspec
from msgspec import Struct

FINDING = b"F"
EVENT = b"E"
LOSS = b"L"

MAX_RECORD_BYTES = 1 << 20
"""Longest payload of one record."""

_loss_decoder = msgspec.msgpack.Decoder(tuple[str, int])


class Contents(Struct):
    """What a segment holds: encoded findings and events in order, losses summed by sense, and bytes unreadable."""

    findings: list[bytes] = []
    events: list[bytes] = []
    lost: dict[str, int] = {}
    damaged_bytes: int = 0

    def add_loss(self, sense: str, number: int) -> None:
        """Count something lost."""
        self.lost[sense] = self.lost.get(sense, 0) + number

    @property
    def empty(self) -> bool:
        """True when there is nothing to tell."""
        return not (self.findings or self.events or self.lost or self.damaged_bytes)


def encode_record(letter: bytes, payload: bytes) -> bytes:
    """Frame one payload for a segment."""
    body = letter + payload
    length = len(body) + 4
    if length < 1 << 8:
        head = b"\xc4" + length.to_bytes(1, "big")
    elif length < 1 << 16:
        head = b"\xc5" + length.to_bytes(2, "big")
    else:
        head = b"\xc6" + length.to_bytes(4, "big")
    return b"".join((head, zlib.crc32(body).to_bytes(4, "little"), body))


def encode_loss(sense: str, number: int) -> bytes:
    """The payload of a loss record."""
    return msgspec.msgpack.encode((sense, number))


def read_contents(raw: bytes) -> Contents:
    """Read a whole segment. Any bytes are read somehow: what is not a record is counted as damage."""
    contents = Contents()
    good = 0
    for letter, payload, end in _records(raw):
        if letter == FINDING:
            contents.findings.append(payload)
        elif letter == EVENT:
            contents.events.append(payload)
        elif not _read_loss(payload, contents):
            break
        good = end
    contents.damaged_bytes = len(raw) - good
    return contents


def _records(raw: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Whole records with the offset behind each; ends at the first that is not one."""
    unpacker = msgpack.Unpacker(
        raw=True,
        max_buffer_size=len(raw),
        max_bin_len=MAX_RECORD_BYTES + 5,
        max_str_len=0,
        max_array_len=0,
        max_map_len=0,
        max_ext_len=0,
    )
    unpacker.feed(raw)
    while True:
        try:
            content = unpacker.unpack()
        except (msgpack.OutOfData, msgpack.UnpackException, ValueError):
            return
        if not isinstance(content, bytes) or len(content) < 5 or content[4:5] not in (FINDING, EVENT, LOSS):
            return
        if zlib.crc32(memoryview(content)[4:]) != int.from_bytes(content[:4], "little"):
            return
        yield content[4:5], content[5:], unpacker.tell()


def _read_loss(payload: bytes, contents: Contents) -> bool:
    try:
        sense, number = _loss_decoder.decode(payload)
    except (ValueError, RecursionError):
        return False
    contents.add_loss(sense, number)
    return True
