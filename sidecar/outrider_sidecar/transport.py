"""How batches reach the collector: HTTP/1.1, one connection kept open, every wait bounded.

The collector's answers are read up to a bound and believed only as far as their types go. What comes of a request
is one of three: an answer, a `WireError` (the collector says why it will not have this), or a `DeliveryError`
(it could not be asked, or not now).
"""

import http.client
import socket
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec

from outrider_wire.batch import CONTENT_TYPE
from outrider_wire.enrolment import (
    ENROL_CONTENT_TYPE,
    EnrolAnswer,
    EnrolRequest,
    Receipt,
    Refusal,
    encode_request,
)
from outrider_wire.errors import ConfigError, DeliveryError, WireError
from outrider_wire.lists import ListsNotice

MAX_ANSWER_BYTES = 64 << 10
"""Most that is read of an answer."""

MAX_RETRY_AFTER_S = 300.0

MAX_HEADER_CHARACTERS = 100

LISTS_TIMEOUT_S = 300.0
"""Longest that a list document may take to come; each step of it `LISTS_STEP_S`."""

LISTS_STEP_S = 10.0

CHUNK_BYTES = 64 << 10

T = TypeVar("T")


class Transport(Protocol):
    """The shape of a way to the collector."""

    def enrol(self, request: EnrolRequest, *, timeout_s: float) -> EnrolAnswer:
        """Ask to be known. Raises WireError or DeliveryError."""

    def send(self, batch: bytes, *, timeout_s: float) -> Receipt:
        """Hand over a batch; on return the collector has it on disk. Raises WireError or DeliveryError."""

    def close(self) -> None:
        """Drop the connection."""


class HttpTransport:
    """The collector at a URL. Used by one thread at a time.

    Raises:
        ConfigError: the URL or the CA file is not usable.
    """

    def __init__(self, url: str, *, ca_file: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"the collector's address {url!r} is not of the form https://host:port")
        self._host = parts.hostname
        try:
            self._port = parts.port
        except ValueError as error:
            raise ConfigError(f"the collector's address {url!r}: {error}") from error
        self._path = parts.path.rstrip("/")
        self._tls = _TlsSettings(ca_file) if parts.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None

    def enrol(self, request: EnrolRequest, *, timeout_s: float) -> EnrolAnswer:
        """See Transport."""
        body = encode_request(request)
        return self._ask("/v1/enrol", ENROL_CONTENT_TYPE, body, timeout_s=timeout_s, answer=EnrolAnswer)

    def send(self, batch: bytes, *, timeout_s: float) -> Receipt:
        """See Transport."""
        return self._ask("/v1/batches", CONTENT_TYPE, batch, timeout_s=timeout_s, answer=Receipt)

    def fetch_lists(self, notice: ListsNotice) -> bytes:
        """The list document that was announced, as long as was announced and no longer.

        Raises:
            DeliveryError: it did not come whole, or the collector does not have it (yet).
            WireError: it is longer than announced.
        """
        try:
            if self._connection is None:
                self._connection = self._connect(LISTS_STEP_S)
            self._connection.request("GET", f"{self._path}/v1/lists/{notice.digest}")
            response = self._connection.getresponse()
            if response.status != 200:
                raise DeliveryError(f"the collector answers {response.status}", refused=True)
            return _read_document(response, notice.size)
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryError(_words(error)) from error
        finally:
            self.close()

    def close(self) -> None:
        """Drop the connection; the next request makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _ask(self, path: str, content_type: str, body: bytes, *, timeout_s: float, answer: type[T]) -> T:
        fresh = self._connection is None
        try:
            status, retry_after, said = self._exchange(path, content_type, body, timeout_s)
        except (ConnectionError, http.client.HTTPException) as error:
            self.close()
            if fresh:
                raise DeliveryError(_words(error)) from error
            # a connection that was idle may have been closed by the other end: once more on a new one
            return self._ask(path, content_type, body, timeout_s=timeout_s, answer=answer)
        except OSError as error:
            self.close()
            raise DeliveryError(_words(error)) from error
        if status != 200:
            raise _refusal(status, retry_after, said)
        try:
            return msgspec.json.decode(said, type=answer)
        except (ValueError, RecursionError) as error:
            raise DeliveryError("the collector's answer makes no sense: is it one?") from error

    def _exchange(self, path: str, content_type: str, body: bytes, timeout_s: float) -> tuple[int, str | None, bytes]:
        if self._connection is None:
            self._connection = self._connect(timeout_s)
        connection = self._connection
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        connection.request("POST", self._path + path, body, {"Content-Type": content_type})
        response = connection.getresponse()
        said = response.read(MAX_ANSWER_BYTES + 1)
        if len(said) > MAX_ANSWER_BYTES or response.will_close:
            self.close()
        return response.status, response.getheader("Retry-After"), said

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        else:
            connection = self._tls.connection(self._host, self._port, timeout_s)
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection


class _TlsSettings:
    """TLS as the operator wants it; `ssl` is loaded only where it is used."""

    def __init__(self, ca_file: str) -> None:
        import ssl

        try:
            self._context = ssl.create_default_context(cafile=ca_file or None)
        except OSError as error:
            raise ConfigError(f"the CA file {ca_file!r} cannot be used: {error}") from error

    def connection(self, host: str, port: int | None, timeout_s: float) -> http.client.HTTPConnection:
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=self._context)


def _read_document(response: http.client.HTTPResponse, size: int) -> bytes:
    parts, left = [], size
    deadline_s = time.monotonic() + LISTS_TIMEOUT_S
    while part := response.read(min(CHUNK_BYTES, left + 1)):
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise WireError("too-large", f"the document is longer than the {size} bytes that were announced")
        if time.monotonic() > deadline_s:
            raise DeliveryError("the document did not come in time")
    if left:
        raise DeliveryError(f"the document ended {left} bytes early")
    return b"".join(parts)


def _refusal(status: int, retry_after: str | None, said: bytes) -> WireError | DeliveryError:
    """What an answer other than 200 means: only the collector's own words make it a WireError."""
    if status in (408, 429) or status >= 500:
        wish_s = read_retry_after(retry_after, time.time())
        return DeliveryError(f"the collector answers {status}", retry_after_s=wish_s, refused=True)
    try:
        refusal = msgspec.json.decode(said, type=Refusal)
    except (ValueError, RecursionError):
        return DeliveryError(f"something on the way answers {status}", refused=True)
    return WireError(refusal.code, refusal.detail)


def read_retry_after(said: str | None, now_s: float) -> float | None:
    """How many seconds to wait by a Retry-After header, a number or an HTTP date; None where it says nothing.

    `now_s` is the time of day. No wait is longer than MAX_RETRY_AFTER_S, whatever it says, or our clock does.
    """
    if said is None or not said.isascii() or len(said) > MAX_HEADER_CHARACTERS:
        return None
    if said.isdecimal():
        return min(float(said), MAX_RETRY_AFTER_S)
    try:
        wish_s = parsedate_to_datetime(said).replace(tzinfo=UTC).timestamp() - now_s
    except (ValueError, OverflowError):
        return None
    return min(max(wish_s, 0.0), MAX_RETRY_AFTER_S)


def _words(error: Exception) -> str:
    return f"the collector cannot be reached: {error or type(error).__name__}"[:300]
