"""One thread that POSTs alerts to one address, in order, and keeps trying; who hands them over never waits.

What cannot be handed over is counted by reason: `full` (the queue had no room), `refused` (the receiver will not
have this one, ever), `unsent` (the end came first).
"""

import http.client
import queue
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from outrider_sidecar.backoff import Backoff
from outrider_sidecar.log import say
from outrider_wire.errors import ConfigError, DeliveryError

MAX_QUEUED: Final = 1_000
"""Most alerts that wait; the newest is dropped where there is no room."""
TIMEOUT_S: Final = 5.0
MAX_ANSWER_BYTES: Final = 64 << 10
SAY_EVERY_S: Final = 60.0
"""Least time between two complaints in the log."""
TRY_AGAIN: Final = frozenset({408, 425, 429})

_END: Final = b""


class Poster:
    """Delivers to one `http://` or `https://` address. `post` may be called from any thread.

    Raises: ConfigError when the address or the CA file is not usable.
    """

    def __init__(
        self,
        url: str,
        *,
        ca_file: str = "",
        max_queued: int = MAX_QUEUED,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        parts = urlsplit(url)
        try:
            self._address = parts.hostname or "", parts.port
        except ValueError as error:
            raise ConfigError(f"falco_output {url!r}: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ConfigError(f"falco_output {url!r}: must be of the form https://host:port/path, without a password")
        self.url = url
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = _trust(ca_file) if parts.scheme == "https" else None
        self._queue: queue.Queue[bytes] = queue.Queue(max_queued)
        self._backoff = Backoff(jitter)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._said_s = -SAY_EVERY_S
        self.sent = 0
        self.dropped: Counter[str] = Counter()
        self.last_error = ""

    def post(self, alert: bytes) -> None:
        """Take one alert, or count it as dropped; never waits."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="outrider-falco", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(alert)
        except queue.Full:
            self._drop("full")

    def close(self, *, deadline_s: float) -> None:
        """Send what waits, for at most so long; the rest is counted as unsent."""
        if self._thread is None:
            return
        until_s = time.monotonic() + deadline_s
        try:
            self._queue.put(_END, timeout=deadline_s)
        except queue.Full:
            pass  # the thread is stopped below all the same
        self._thread.join(max(0.0, until_s - time.monotonic()))
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while (alert := self._queue.get()) != _END:
            if self._stop.is_set():
                self._drop("unsent")
            else:
                self._deliver(alert)
            if self._stop.is_set() and self._queue.empty():
                break  # a full queue had no room for the end
        self._close_connection()

    def _deliver(self, alert: bytes) -> None:
        """Try until it is had, or refused, or the end has come."""
        while True:
            try:
                status = self._exchange(alert)
            except DeliveryError as error:
                self.last_error = str(error)
                self._complain(f"alerts cannot be delivered: {error}")
                if self._stop.wait(self._backoff.failed(at_least_s=error.retry_after_s or 0.0)):
                    self._drop("unsent")
                    return
                continue
            self._backoff.succeeded()
            if 200 <= status < 300:
                self.sent += 1
                self.last_error = ""
            else:
                self.last_error = f"answered {status}"
                self._drop("refused")
            return

    def _exchange(self, alert: bytes) -> int:
        """The status of the answer. Raises DeliveryError where another try may help."""
        idle = self._connection is not None
        try:
            status = self._ask(alert)
        except (http.client.HTTPException, ConnectionError) as error:
            self._close_connection()
            if idle:
                return self._exchange(alert)  # an idle connection may have been closed by the other end
            raise DeliveryError(f"{error or type(error).__name__}"[:300]) from error
        except OSError as error:
            self._close_connection()
            raise DeliveryError(f"{error or type(error).__name__}"[:300]) from error
        if status in TRY_AGAIN or status >= 500:
            raise DeliveryError(f"answered {status}")
        return status

    def _ask(self, alert: bytes) -> int:
        if self._connection is None:
            host, port = self._address
            if self._tls is None:
                self._connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
            else:
                self._connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=self._tls)
        self._connection.request("POST", self._path, alert, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        if len(answer.read(MAX_ANSWER_BYTES + 1)) > MAX_ANSWER_BYTES or answer.will_close:
            self._close_connection()
        return answer.status

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] += count
        self._complain(f"alerts dropped: {reason}")

    def _complain(self, sentence: str) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s >= SAY_EVERY_S:
            self._said_s = now_s
            say(sentence, to=self.url, waiting=self._queue.qsize(), dropped=dict(self.dropped))


def _trust(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise ConfigError(f"falco_ca_file {ca_file!r} cannot be used: {error}") from error
