"""What gate and engine say to each other, each record one packet of a SOCK_SEQPACKET pair.

The pair is made before the forks and outlives either end, and so do packets that lie in it. Every record is therefore
whole in itself: the roster is always the whole roster, and a question carries the number of the gate that asks, so that
an answer to a gate that is gone is nobody's.
"""

from typing import Final, Literal

import msgspec
from msgspec import Struct

from outrider_wire.errors import WireError
from outrider_wire.events import FileFacts

MAX_RECORD_BYTES: Final = 64 * 1024
"""Longer than any record: a roster of 256 containers takes some 8 KiB, the longest path 16 KiB."""

Outcome = Literal["denied", "let go", "late"]
"""denied: refused, or in a dry run would have been. let go: refusing had ended. late: the budget had run out."""


class Guarded(Struct, frozen=True, gc=False, array_like=True):
    """A container to be asked about: `pid` is one of its processes, `baseline_ns` from when on its files are new."""

    mnt_ns: int
    pid: int
    baseline_ns: int


class Roster(Struct, frozen=True, gc=False, tag=True):
    """Engine to gate: all containers to be asked about. Who is not named is not."""

    containers: list[Guarded]


class Answer(Struct, frozen=True, gc=False, tag=True):
    """Engine to gate. `is_old`: the file is of the image after all, whoever starts it: it need not be asked about."""

    gate: int
    number: int
    deny: bool
    is_old: bool = False


class Hello(Struct, frozen=True, gc=False, tag=True):
    """Gate to engine: a gate has started and knows no container."""

    gate: int


class Question(Struct, frozen=True, gc=False, tag=True):
    """Gate to engine: process `pid` is about to start `file`. `deadline_ns` is of CLOCK_MONOTONIC."""

    gate: int
    number: int
    pid: int
    mnt_ns: int
    file: FileFacts
    at_ns: int
    deadline_ns: int


class Done(Struct, frozen=True, gc=False, tag=True):
    """Gate to engine: what became of an answer that said to deny."""

    gate: int
    number: int
    outcome: Outcome


ToGate = Roster | Answer
ToEngine = Hello | Question | Done

_to_gate: Final[msgspec.msgpack.Decoder[ToGate]] = msgspec.msgpack.Decoder(ToGate)
_to_engine: Final[msgspec.msgpack.Decoder[ToEngine]] = msgspec.msgpack.Decoder(ToEngine)


def read_to_gate(data: bytes) -> ToGate:
    """Raises WireError."""
    try:
        return _to_gate.decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise WireError("gate-record", str(error)) from error


def read_to_engine(data: bytes) -> ToEngine:
    """Raises WireError."""
    try:
        return _to_engine.decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise WireError("gate-record", str(error)) from error
