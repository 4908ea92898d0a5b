"""Cursors: where a page ended, as text that says nothing to who carries it."""

import base64
import binascii
from typing import Any, Final, TypeVar

import msgspec

from outrider_wire.errors import WireError

T = TypeVar("T")

MAX_NUMBER: Final = (1 << 63) - 1


def write_cursor(place: Any) -> str:
    """A place as a cursor."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def read_cursor(text: str, kind: type[T]) -> T:
    """The place behind a cursor. Raises WireError `bad-request` for one that we never gave."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.msgpack.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise WireError("bad-request", "this cursor is none of ours") from error


def read_number(text: str, otherwise: int) -> int:
    """A cursor that is a number of ours; an empty text is `otherwise`. Raises WireError."""
    number = read_cursor(text, int) if text else otherwise
    if not 0 <= number <= MAX_NUMBER:
        raise WireError("bad-request", "this cursor is none of ours")
    return number
