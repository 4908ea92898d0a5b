"""Asking a small HTTP question, with short patience: whoever answers may be late, gone or somebody else.

Every wait is bounded, the whole of it too: a server that sends a byte a second is as one that does not answer.
"""

import http.client
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from outrider_wire.errors import Unavailable
from outrider_wire.patience import Patience

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024


class Answer(Struct, frozen=True):
    """An answer of any status; the header's names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    url: str,
    *,
    what: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout_s: float = 1.0,
    max_bytes: int = MAX_ANSWER_BYTES,
) -> Answer:
    """Ask an http or https address; `what` names who is asked. Raises Unavailable when no whole answer came in time."""
    connection = _connect(url, what, timeout_s)
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    patience = Patience(timeout_s)
    try:
        connection.connect()
        patience.begin(connection.sock)
        connection.request(method, target, body=body or None, headers=dict(headers or {}))
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        whole = _read(answer, max_bytes)
        if patience.ended:
            raise TimeoutError
        return Answer(answer.status, found, whole)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = "no whole answer in time" if patience.ended else error or type(error).__name__
        raise Unavailable(f"{what} at {url}: {reason}") from error
    finally:
        patience.cancel()
        connection.close()


def _connect(url: str, what: str, timeout_s: float) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Unavailable(f"{what}: {url!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise Unavailable(f"{what}: {url!r} is no http address")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _read(answer: http.client.HTTPResponse, max_bytes: int) -> bytes:
    whole = answer.read(max_bytes + 1)
    if len(whole) > max_bytes:
        raise ValueError(f"the answer is longer than {max_bytes} bytes")
    if answer.length:
        raise ValueError(f"the answer ended {answer.length} bytes early")
    return whole
