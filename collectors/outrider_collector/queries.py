"""What a reader asks for, read from the query string."""

from collections.abc import Mapping

from outrider_collector.store.findings import FindingQuery
from outrider_wire.errors import WireError
from outrider_wire.timestamps import from_rfc3339

MAX_LIMIT = 1000

DEFAULT_LIMIT = 100


def read_finding_query(given: Mapping[str, str]) -> FindingQuery:
    """The query that `limit`, `since` (RFC 3339), `type` (a prefix) and `after` (a cursor) ask. Raises WireError."""
    return FindingQuery(
        limit=read_limit(given),
        since_ns=_since(given.get("since", "")),
        type_prefix=given.get("type", "")[:256],
        after=_number(given["after"], "after", (1 << 63) - 1) if "after" in given else None,
    )


def read_limit(given: Mapping[str, str]) -> int:
    """`limit`, from 1 to `MAX_LIMIT`. Raises WireError."""
    return max(_number(given.get("limit", str(DEFAULT_LIMIT)), "limit", MAX_LIMIT), 1)


def _since(text: str) -> int:
    try:
        return from_rfc3339(text.replace(" ", "+")) if text else 0  # an unescaped + arrives as a space
    except ValueError as error:
        raise WireError("bad-request", f"since: {error}") from error


def _number(text: str, name: str, highest: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= highest):
        raise WireError("bad-request", f"{name} must be a number from 0 to {highest}")
    return int(text)
