"""DNS messages (RFC 1035, RFC 3596), written for speed and for hostile senders.

A name may hold any byte. It is shown in lower case without the last dot; what is not a plain visible character,
and a dot or backslash within a label, is shown as `\\ddd`. The root is `.`.

Work is bounded: a compression pointer must point before the name it stands in and before every pointer taken so
far, so a loop cannot be written; names end at 255 bytes; questions and records beyond the bounds are not read. A
message that was cut (by the sender's TC, by a fragment, by the tap) gives what was whole in it.
"""

import socket
import struct
from typing import Final

from msgspec import Struct

MAX_QUESTIONS: Final = 8
"""Servers answer one question; a message that claims more than this is no DNS."""
MAX_RECORDS: Final = 256
"""Answer records read of one message; the rest is left, and the message marked as cut."""
MAX_ALIASES: Final = 16
"""Alias records read of one message; no resolver follows a longer chain. Written to be slow, each costs 60 µs."""
MAX_NAME_BYTES: Final = 255

A: Final = 1
CNAME: Final = 5
AAAA: Final = 28
DNAME: Final = 39

_HEADER: Final = struct.Struct("!HHHHHH")
_QUESTION: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")
_RESPONSE: Final = 0x8000
_TRUNCATED: Final = 0x0200

TYPES: Final = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    10: "NULL",
    12: "PTR",
    13: "HINFO",
    15: "MX",
    16: "TXT",
    24: "SIG",
    25: "KEY",
    28: "AAAA",
    29: "LOC",
    33: "SRV",
    35: "NAPTR",
    37: "CERT",
    39: "DNAME",
    43: "DS",
    44: "SSHFP",
    46: "RRSIG",
    47: "NSEC",
    48: "DNSKEY",
    50: "NSEC3",
    52: "TLSA",
    64: "SVCB",
    65: "HTTPS",
    99: "SPF",
    250: "TSIG",
    251: "IXFR",
    252: "AXFR",
    255: "ANY",
    257: "CAA",
}
CODES: Final = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    6: "YXDOMAIN",
    7: "YXRRSET",
    8: "NXRRSET",
    9: "NOTAUTH",
    10: "NOTZONE",
}
_SHOWN: Final = tuple(
    chr(byte).lower() if 0x21 <= byte <= 0x7E and byte not in b".\\" else f"\\{byte:03d}" for byte in range(256)
)
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


class Question(Struct, frozen=True, gc=False):
    """What was asked for."""

    name: str
    record_type: str


class Message(Struct, frozen=True, gc=False):
    """A message: its questions, and of its answers the addresses, aliases and shortest time to live.

    `ttl_s` is of the address records, 0 where there is none. `cut` says that something of it is missing.
    """

    identity: int
    is_response: bool
    code: str
    questions: tuple[Question, ...]
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    ttl_s: int = 0
    cut: bool = False


def parse_message(raw: bytes) -> Message:
    """One message without the length that TCP puts before it. Raises ValueError."""
    if len(raw) < _HEADER.size:
        raise ValueError(f"DNS message of {len(raw)} bytes")
    identity, flags, question_count, answer_count, _, _ = _HEADER.unpack_from(raw)
    if question_count > MAX_QUESTIONS:
        raise ValueError(f"DNS message of {question_count} questions")
    offset, questions = _HEADER.size, []
    for _ in range(question_count):
        name, offset = read_name(raw, offset)
        if offset + _QUESTION.size > len(raw):
            raise ValueError("DNS question is cut")
        record_type, _ = _QUESTION.unpack_from(raw, offset)
        offset += _QUESTION.size
        questions.append(Question(name, TYPES.get(record_type) or f"TYPE{record_type}"))
    is_response = bool(flags & _RESPONSE)
    addresses, aliases, ttl_s, cut = _read_answers(raw, offset, answer_count) if is_response else ((), (), 0, False)
    code = flags & 0xF
    return Message(
        identity=identity,
        is_response=is_response,
        code=CODES.get(code) or f"RCODE{code}",
        questions=tuple(questions),
        addresses=addresses,
        aliases=aliases,
        ttl_s=ttl_s,
        cut=cut or bool(flags & _TRUNCATED),
    )


def _read_answers(raw: bytes, offset: int, count: int) -> tuple[tuple[str, ...], tuple[str, ...], int, bool]:
    addresses: dict[str, None] = {}
    aliases: dict[str, None] = {}
    aliases_read = 0
    ttls: list[int] = []
    cut = count > MAX_RECORDS
    for _ in range(min(count, MAX_RECORDS)):
        try:
            offset = _skip_name(raw, offset)
            record_type, _, ttl_s, size = _RECORD.unpack_from(raw, offset)
        except (IndexError, struct.error):
            cut = True
            break
        offset += _RECORD.size
        data = raw[offset : offset + size]
        if len(data) < size:
            cut = True
            break
        if record_type == A and size == 4:
            addresses[socket.inet_ntop(socket.AF_INET, data)] = None
            ttls.append(ttl_s)
        elif record_type == AAAA and size == 16:
            addresses[socket.inet_ntop(socket.AF_INET6, data)] = None
            ttls.append(ttl_s)
        elif record_type in (CNAME, DNAME):
            aliases_read += 1
            if aliases_read > MAX_ALIASES:
                cut = True
            else:
                aliases[read_name(raw, offset)[0]] = None
        offset += size
    return tuple(addresses), tuple(aliases), min(ttls, default=0), cut


def _skip_name(raw: bytes, offset: int) -> int:
    """Where the name at `offset` ends. Raises IndexError past the end, ValueError for a label of unknown kind."""
    while True:
        length = raw[offset]
        if length == 0:
            return offset + 1
        if length >= 0xC0:
            return offset + 2
        if length > 63:
            raise ValueError(f"DNS label of kind {length >> 6}")
        offset += 1 + length


def read_name(raw: bytes, offset: int) -> tuple[str, int]:
    """The name at `offset` and where it ends there. Raises ValueError."""
    labels: list[str] = []
    size_bytes, after, floor = 1, -1, offset
    try:
        while length := raw[offset]:
            if length >= 0xC0:
                target = (length & 0x3F) << 8 | raw[offset + 1]
                after = offset + 2 if after < 0 else after
                if target >= floor:
                    raise ValueError("DNS compression pointer does not point back")
                offset = floor = target
                continue
            if length > 63:
                raise ValueError(f"DNS label of kind {length >> 6}")
            label = raw[offset + 1 : offset + 1 + length]
            offset += 1 + length
            size_bytes += 1 + length
            if len(label) < length or size_bytes > MAX_NAME_BYTES:
                raise ValueError("DNS name is cut or too long")
            labels.append(show_label(label))
    except IndexError as error:
        raise ValueError("DNS name is cut") from error
    return ".".join(labels) or ".", offset + 1 if after < 0 else after


def show_label(label: bytes) -> str:
    """A label as text: lower case, with `\\ddd` for what is not a plain visible character."""
    lowered = label.lower()
    if _PLAIN.issuperset(lowered):
        return lowered.decode("ascii")
    return "".join(map(_SHOWN.__getitem__, label))
