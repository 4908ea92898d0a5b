"""Threat lists as tables: sorted keys of one width with what is said of each, made once and searched where they lie.

A table is bytes and nothing else, so half a million domains take 5 MB and no objects: a name is found by hashing it
and a binary search, an address by its number. What is said of an entry (source, category, expiry) is one of few
different things, kept once; an entry has its number.

    labels (msgpack) | domains | files | addresses of IPv4 | of IPv6

Each section is its columns, one after another: keys, then label numbers (2 bytes), and for addresses the last address
of the range and the length of the prefix that it was listed with. Ranges do not overlap; keys grow. Numbers are
big-endian. A domain's key is the start of its hash, so a listed name cannot be read from a table, only asked for.
"""

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from sys import byteorder
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from outrider_wire.errors import WireError

KEY_BYTES: Final = 8
"""Of a hash: among a million entries a name of nobody's is taken for a listed one once in 10^13."""
MAX_ROWS: Final = 1_000_000
"""Most rows of one section."""
MAX_LABELS: Final = 65_535

DOMAIN_ROW: Final = KEY_BYTES + 2
IPV4_ROW: Final = 4 + 2 + 4 + 1
IPV6_ROW: Final = 16 + 2 + 16 + 1

_MAPPED: Final = b"\0" * 10 + b"\xff\xff"

Rows = Annotated[int, Meta(ge=0, le=MAX_ROWS)]


class Label(Struct, frozen=True, gc=False, array_like=True):
    """What is said of an entry. `expires_at_s` is since the epoch, 0 for never. `trusted` silences."""

    source: Annotated[str, Meta(max_length=64)]
    category: Annotated[str, Meta(max_length=32)]
    expires_at_s: int = 0
    trusted: bool = False


class TableShape(Struct, frozen=True, gc=False):
    """How long the parts are: bytes of labels, rows of the sections. `algorithms` are those of the files' digests."""

    labels: Annotated[int, Meta(ge=1, le=16 << 20)] = 1
    domains: Rows = 0
    files: Rows = 0
    ipv4: Rows = 0
    ipv6: Rows = 0
    algorithms: Annotated[tuple[Annotated[str, Meta(pattern=r"^(md5|sha1|sha256)\Z")], ...], Meta(max_length=3)] = ()

    @property
    def size(self) -> int:
        """Bytes of the whole table."""
        keyed = (self.domains + self.files) * DOMAIN_ROW
        return self.labels + keyed + self.ipv4 * IPV4_ROW + self.ipv6 * IPV6_ROW


def is_full(shape: TableShape) -> bool:
    """Whether there is anything in a table."""
    return bool(shape.domains or shape.files or shape.ipv4 or shape.ipv6)


class Range(Struct, frozen=True, gc=False, order=True):
    """A range of addresses, both ends included, of `width` bytes each; `prefix` is what it was listed with."""

    first: int
    last: int
    prefix: int
    label: int


class Hit(Struct, frozen=True, gc=False):
    """What a table says: the label, and the listed domain, network or digest that what was asked falls under."""

    label: Label
    listed_as: str


class ListTable:
    """A table to be asked. `raw` is kept as it is. Raises WireError `bad-table` for bytes that are none."""

    def __init__(self, raw: bytes | bytearray, shape: TableShape) -> None:
        if len(raw) != shape.size:
            raise WireError("bad-table", f"{len(raw)} bytes where {shape.size} were announced")
        self.shape = shape
        self.raw = raw
        try:
            self.labels = msgspec.msgpack.decode(memoryview(raw)[: shape.labels], type=tuple[Label, ...])
        except (ValueError, RecursionError) as error:
            raise WireError("bad-table", f"the labels: {error}"[:200]) from error
        at = shape.labels
        sections = []
        for rows, width, extra in (
            (shape.domains, 8, 0),
            (shape.files, 8, 0),
            (shape.ipv4, 4, 5),
            (shape.ipv6, 16, 17),
        ):
            sections.append(_Section(raw, at, rows, width))
            at += rows * (width + 2 + extra)
        self._domains, self._files, self._ipv4, self._ipv6 = sections
        if any(section.highest_label() >= len(self.labels) for section in sections):
            raise WireError("bad-table", "an entry has a label that there is not")

    def __len__(self) -> int:
        shape = self.shape
        return shape.domains + shape.files + shape.ipv4 + shape.ipv6

    def find_domain(self, name: str) -> Label | None:
        """What is said of exactly this name, in lower case without the last dot."""
        return self._label_at(self._domains, self._domains.find(domain_key(name)))

    def find_file(self, algorithm: str, digest: str) -> Label | None:
        """What is said of a file's digest in lower hexadecimal."""
        if algorithm not in self.shape.algorithms:
            return None
        return self._label_at(self._files, self._files.find(file_key(algorithm, digest)))

    def find_address(self, address: str) -> Hit | None:
        """The narrowest listed network that an address falls under; None for what is no address, too."""
        try:
            packed = pack_address(address)
        except ValueError:
            return None
        section = self._ipv4 if len(packed) == 4 else self._ipv6
        row = section.last_not_above(packed)
        if row < 0:
            return None
        last, prefix = section.range_of(row)
        label = self._label_at(section, row)
        if packed > last or label is None:
            return None
        return Hit(label, show_network(int.from_bytes(packed, "big"), prefix, len(packed)))

    def domain_keys(self) -> Iterator[tuple[bytes, Label]]:
        """Every domain's key with what is said of it."""
        for row in range(self.shape.domains):
            yield self._domains.key(row), self.labels[self._domains.label(row)]

    def file_keys(self) -> Iterator[tuple[bytes, Label]]:
        """The same of files."""
        for row in range(self.shape.files):
            yield self._files.key(row), self.labels[self._files.label(row)]

    def networks(self, width: int) -> Iterator[tuple[int, int, int, Label]]:
        """Every range of addresses of 4 or 16 bytes: first, last, prefix, and what is said of it."""
        section, rows = (self._ipv4, self.shape.ipv4) if width == 4 else (self._ipv6, self.shape.ipv6)
        for row in range(rows):
            last, prefix = section.range_of(row)
            yield (
                int.from_bytes(section.key(row), "big"),
                int.from_bytes(last, "big"),
                prefix,
                self.labels[section.label(row)],
            )

    def _label_at(self, section: "_Section", row: int) -> Label | None:
        return self.labels[section.label(row)] if row >= 0 else None


class _Section:
    """One section where it lies in the table."""

    __slots__ = ("_keys", "_labels", "_lasts", "_prefixes", "_raw", "_rows", "_width")

    def __init__(self, raw: bytes | bytearray, at: int, rows: int, width: int) -> None:
        self._raw, self._rows, self._width = raw, rows, width
        self._keys = at
        self._labels = at + rows * width
        self._lasts = self._labels + rows * 2
        self._prefixes = self._lasts + rows * width

    def key(self, row: int) -> bytes:
        at = self._keys + row * self._width
        return bytes(self._raw[at : at + self._width])

    def label(self, row: int) -> int:
        at = self._labels + row * 2
        return self._raw[at] << 8 | self._raw[at + 1]

    def range_of(self, row: int) -> tuple[bytes, int]:
        """The last address, and the length of the prefix."""
        at = self._lasts + row * self._width
        return bytes(self._raw[at : at + self._width]), self._raw[self._prefixes + row]

    def highest_label(self) -> int:
        """-1 where there is no row."""
        numbers = array("H", bytes(memoryview(self._raw)[self._labels : self._lasts]))
        if byteorder == "little":
            numbers.byteswap()
        return max(numbers, default=-1)

    def find(self, key: bytes) -> int:
        """The row of exactly this key, or -1."""
        row = self.last_not_above(key)
        return row if row >= 0 and self.key(row) == key else -1

    def last_not_above(self, key: bytes) -> int:
        """The last row whose key is not above this one, or -1."""
        raw, width, start = self._raw, self._width, self._keys
        low, high = 0, self._rows
        while low < high:
            middle = (low + high) >> 1
            at = start + middle * width
            if raw[at : at + width] <= key:
                low = middle + 1
            else:
                high = middle
        return low - 1


def pack_table(
    labels: Sequence[Label],
    domains: Sequence[tuple[bytes, int]],
    files: Sequence[tuple[bytes, int]],
    ipv4: Sequence[Range],
    ipv6: Sequence[Range],
    algorithms: tuple[str, ...] = (),
) -> tuple[bytes, TableShape]:
    """Lay sorted rows out as a table. Raises ValueError where there are more than a table may have."""
    if len(labels) > MAX_LABELS or max(len(domains), len(files), len(ipv4), len(ipv6)) > MAX_ROWS:
        raise ValueError("more rows or labels than a table may have")
    packed = msgspec.msgpack.encode(tuple(labels))
    shape = TableShape(len(packed), len(domains), len(files), len(ipv4), len(ipv6), algorithms)
    parts = [packed]
    for keyed in (domains, files):
        parts += [b"".join([key for key, _ in keyed]), _numbers([label for _, label in keyed])]
    for ranges, width in ((ipv4, 4), (ipv6, 16)):
        parts.append(b"".join([each.first.to_bytes(width, "big") for each in ranges]))
        parts.append(_numbers([each.label for each in ranges]))
        parts.append(b"".join([each.last.to_bytes(width, "big") for each in ranges]))
        parts.append(bytes([each.prefix for each in ranges]))
    return b"".join(parts), shape


def _numbers(labels: list[int]) -> bytes:
    numbers = array("H", labels)
    if byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


def domain_key(name: str) -> bytes:
    """What a domain is found by."""
    return hashlib.blake2b(name.encode("utf-8", "backslashreplace"), digest_size=KEY_BYTES, person=b"domain").digest()


def file_key(algorithm: str, digest: str) -> bytes:
    """What a file is found by: the digests of different algorithms are different keys."""
    named = f"{algorithm}:{digest}".encode("utf-8", "backslashreplace")
    return hashlib.blake2b(named, digest_size=KEY_BYTES, person=b"file").digest()


def pack_address(text: str) -> bytes:
    """4 or 16 bytes; an IPv4 address inside IPv6 is the IPv4 address. Raises ValueError."""
    try:
        packed = inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError) as error:
        raise ValueError(f"{text[:64]!r} is no address") from error
    return packed[12:] if packed.startswith(_MAPPED) else packed


def show_network(address: int, prefix: int, width: int) -> str:
    """The network of this length that an address is in, as a person writes it; a single address without a length."""
    bits = width * 8
    first = address >> (bits - prefix) << (bits - prefix)
    shown = inet_ntop(AF_INET if width == 4 else AF_INET6, first.to_bytes(width, "big"))
    return shown if prefix == bits else f"{shown}/{prefix}"
