"""Times as text: nanoseconds since the epoch to RFC 3339 in UTC and back, without losing a digit."""

import re
from datetime import UTC, datetime, timedelta

NANO = 1_000_000_000

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MAX_AT_NS = 253_402_300_799 * NANO
"""The last second of the year 9999: what RFC 3339 can say."""

_PATTERN = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)


def to_rfc3339(at_ns: int) -> str:
    """Show a time as `2026-01-02T03:04:05.000000006Z`; what the year 9999 cannot hold is clamped."""
    seconds, nanos = divmod(min(max(at_ns, 0), MAX_AT_NS), NANO)
    return f"{EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def from_rfc3339(text: str) -> int:
    """Read an RFC 3339 time as nanoseconds since the epoch.

    Raises:
        ValueError: the text is no such time, or is before 1970.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text[:64]!r}")
    day, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone in "Zz" else zone
    try:
        past = datetime.fromisoformat(f"{day}T{clock}{zone}") - EPOCH
    except OverflowError as error:
        raise ValueError(f"time out of range: {text[:64]!r}") from error
    at_ns = (past.days * 86_400 + past.seconds) * NANO + int((fraction or "").ljust(9, "0"))
    if not 0 <= at_ns <= MAX_AT_NS + NANO - 1:
        raise ValueError(f"time out of range: {text[:64]!r}")
    return at_ns
