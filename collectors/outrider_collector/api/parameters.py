"""Parameters of a request: the query string and what stands in the path, read into typed structs or refused."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar, get_origin
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct

from outrider_wire.errors import WireError
from outrider_wire.timestamps import from_rfc3339

MAX_PARAMETERS: Final = 64
MAX_LIMIT: Final = 1000
MAX_NS: Final = (1 << 63) - 1
"""What a column holds, in the year 2262."""

T = TypeVar("T", bound=Struct)

Text = Annotated[str, Meta(max_length=512, pattern=r"^[^\u0000]*$")]
"""Text to compare with: NUL is in no column, and PostgreSQL takes none."""

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="at most so many")]
Cursor = Annotated[str, Meta(max_length=512, pattern=r"^[A-Za-z0-9_-]*$", description="the cursor of the page before")]
Time = Annotated[
    str, Meta(min_length=1, max_length=64, description="a time, RFC 3339", extra_json_schema={"format": "date-time"})
]
Number = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}$")]
"""A number of ours, as it stands in a path."""


def read_query(raw: bytes, kind: type[T]) -> T:
    """A query string as a struct; a list field may be given several times. Raises WireError `bad-request`."""
    try:
        pairs = parse_qsl(
            raw.decode("ascii", "replace"), keep_blank_values=True, errors="replace", max_num_fields=MAX_PARAMETERS
        )
        return msgspec.convert(_gather(pairs, kind), kind, strict=False)
    except (ValueError, msgspec.ValidationError) as error:
        raise WireError("bad-request", f"parameters: {error}") from error


def read_key(values: Mapping[str, str], kind: Any) -> str:
    """What stands in the path's braces, or nothing. Raises WireError."""
    if kind is None:
        return ""
    try:
        return str(msgspec.convert(next(iter(values.values())), kind))
    except msgspec.ValidationError as error:
        raise WireError("bad-request", f"path: {error}") from error


def read_time(text: str, *, otherwise_ns: int = 0) -> int:
    """An RFC 3339 time in ns, no later than a column holds. An empty text is `otherwise_ns`. Raises WireError."""
    if not text:
        return otherwise_ns
    try:
        return min(from_rfc3339(text.replace(" ", "+")), MAX_NS)  # an unescaped + arrives as a space
    except ValueError as error:
        raise WireError("bad-request", f"time: {error}") from error


def read_expiry(text: str, now_ns: int) -> int:
    """When something ends that somebody wants made, in ns; an empty text is 0, never. Raises WireError."""
    expires_at_ns = read_time(text)
    if text and expires_at_ns <= now_ns:
        raise WireError("bad-request", f"expires_at: {text} has passed already; give a time to come")
    return expires_at_ns


def _gather(pairs: list[tuple[str, str]], kind: type[Struct]) -> dict[str, object]:
    """Raises ValueError for an unknown name, and for one that is given twice and is no list."""
    lists = {f.encode_name: _is_list(f.type) for f in msgspec.structs.fields(kind)}
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name not in lists:
            raise ValueError(f"there is no {name[:64]!r} here; there are {', '.join(lists) or 'none'}")
        if lists[name]:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise ValueError(f"{name} is given twice")
        else:
            given[name] = value
    return given


def _is_list(kind: Any) -> bool:
    bare = kind.__origin__ if get_origin(kind) is Annotated else kind
    return get_origin(bare) in (list, tuple)
