"""One POST at a time to one address, over a connection that is kept; redirects are refused.

An answer says either that this body will never do (400, 413, 415, 422: refused), or that the receiver is not what it
should be now (all others): then nothing is lost, and it is tried again. Whatever the other end does, a request ends by
its deadline: when that is over, the connection is shut down under it.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from outrider_collector.export.configuration import split_url
from outrider_collector.export.target import SENT, Outcome
from outrider_wire.errors import ConfigError, DeliveryError

REFUSED: Final = frozenset({400, 413, 415, 422})
MAX_ANSWER_BYTES: Final = 64 << 10
SHOWN: Final = 200
"""Most characters of an answer's body that become part of a reason."""


class Poster:
    """Posts to one address. Used by one thread. Raises ConfigError for an address or CA file that cannot be used."""

    def __init__(self, url: str, *, ca_file: str, timeout_s: float, where: str) -> None:
        scheme, self._host, self._port, self._path = split_url(url, ("http", "https"), where)
        self._tls = trust(ca_file, where) if scheme == "https" else None
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Deliver one body. Raises DeliveryError where it is the receiver that is at fault."""
        deadline_s = time.monotonic() + self._timeout_s
        if self._connection is not None:
            try:
                return self._exchange(body, headers, deadline_s)
            except (http.client.HTTPException, ConnectionError) as error:
                self.close()
                if time.monotonic() >= deadline_s:
                    raise _undelivered(error, deadline_s) from error
                # else: an idle connection may have been closed by the other end
            except (OSError, ValueError) as error:
                self.close()
                raise _undelivered(error, deadline_s) from error
        try:
            return self._exchange(body, headers, deadline_s)
        except (http.client.HTTPException, OSError, ValueError) as error:
            self.close()
            raise _undelivered(error, deadline_s) from error

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _exchange(self, body: bytes, headers: Mapping[str, str], deadline_s: float) -> Outcome:
        connection = self._connected()
        assert connection.sock is not None
        watch = threading.Timer(max(deadline_s - time.monotonic(), 0.01), _shut, (connection.sock,))
        watch.daemon = True
        watch.start()
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            said = answer.read(MAX_ANSWER_BYTES + 1)
        finally:
            watch.cancel()
        if time.monotonic() >= deadline_s:
            raise TimeoutError  # cut off by us, an answer looks like a short one
        if len(said) > MAX_ANSWER_BYTES or answer.will_close:
            self.close()
        return _judge(answer.status, said, answer.headers.get("Retry-After", ""))

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._tls is None:
                made = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
            else:
                made = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)
            made.connect()
            self._connection = made
        return self._connection


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # closed already


def _judge(status: int, said: bytes, retry_after: str) -> Outcome:
    if 200 <= status < 300:
        return SENT
    shown = said[:SHOWN].decode("ascii", "replace").replace("\ufffd", "?")
    reason = f"answered {status}" + (f": {' '.join(shown.split())}" if shown.strip() else "")
    if status in REFUSED:
        return Outcome("refused", reason)
    if 300 <= status < 400:
        reason = f"answered {status}, a redirect, which is not followed"
    raise DeliveryError(reason, retry_after_s=read_retry_after(retry_after, time.time()))


def read_retry_after(text: str, now_s: float) -> float | None:
    """Seconds to wait by a Retry-After header, which is a number or a date; None where it says nothing."""
    text = text.strip()[:64]
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now_s, 0.0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _undelivered(error: Exception, deadline_s: float) -> DeliveryError:
    if time.monotonic() >= deadline_s or isinstance(error, TimeoutError):
        return DeliveryError("no answer in time")
    return DeliveryError(f"{type(error).__name__}: {error}"[:300])


def trust(ca_file: str, where: str) -> ssl.SSLContext:
    """The system's authorities, or those of a file. Raises ConfigError."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise ConfigError(f"{where}: ca_file {ca_file!r} cannot be used: {error}") from error
