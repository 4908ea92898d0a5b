"""Connections: uvicorn's protocol with bounds it lacks, on how many there are and on the head of a request.

uvicorn with httptools waits for ever for a request's first line and headers, and takes as many bytes of them as come.
Here a connection has `head_timeout_s` from its begin, and from the first byte of each later request, to the empty line,
and `MAX_HEAD_BYTES`. One connection too many is closed before anything is read from it.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 16 << 10
BESIDES: Final = 4
"""Bytes of a header line that are neither name nor value."""
SPARE: Final = 64
"""Connections past the bound that are still told so (503), before more are closed without a word."""


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    head_timeout_s = 10.0
    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0
    _header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency + SPARE:
            transport.abort()
            return
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        super().connection_lost(exc)
        # it knows us: else each connection would stay until the whole heap is looked through
        self.cycle = None  # type: ignore[assignment]  # as it is before the first request

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + BESIDES
        if self._header_bytes <= MAX_HEAD_BYTES:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._end_timer()
        if self._header_bytes + len(self.url) > MAX_HEAD_BYTES:
            self._refuse_head()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.transport.is_closing():
            super().on_message_complete()

    def _begin_head(self) -> None:
        self._in_head, self._head_bytes, self._header_bytes = True, 0, 0
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_timeout_s, self._refuse_head)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse_head(self) -> None:
        self._end_timer()
        if not self.transport.is_closing():
            self.send_400_response("The head of the request is too long, or too slow.")


def bounded_http(head_timeout_s: float) -> type[BoundedHttp]:
    """The class of connections with this patience."""
    return type("BoundedHttp", (BoundedHttp,), {"head_timeout_s": head_timeout_s})
