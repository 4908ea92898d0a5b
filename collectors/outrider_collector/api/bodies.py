"""Request bodies: read up to a bound, within a time and a common budget, or refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.types import Receive

from outrider_collector.intake import Busy
from outrider_wire.errors import WireError

MAX_HELD_BYTES: Final = 128 << 20
"""Most bytes of all bodies that are on their way in at once: many senders of large ones wait for each other."""

Headers = list[tuple[bytes, bytes]]


class Budget:
    """Bytes of bodies in memory. For the event loop's thread alone."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._left = max_bytes

    @asynccontextmanager
    async def body(
        self, headers: Headers, receive: Receive, *, content_type: str, max_bytes: int, timeout_s: float
    ) -> AsyncIterator[bytes]:
        """The whole body, counted until the block is left.

        Raises:
            WireError: `bad-content-type`, `too-large`, `slow-body` or `truncated`. Busy: too many bytes are held.
        """
        check_headers(headers, content_type, max_bytes)
        held: list[int] = [0]
        try:
            try:
                async with asyncio.timeout(timeout_s):
                    data = await self._collect(receive, max_bytes, held)
            except TimeoutError:
                raise WireError("slow-body", f"the body did not come within {timeout_s:g} s") from None
            yield data
        finally:
            self._left += held[0]

    async def _collect(self, receive: Receive, max_bytes: int, held: list[int]) -> bytes:
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise WireError("truncated", "the connection ended before the body did")
            part = message.get("body", b"")
            if held[0] + len(part) > max_bytes:
                raise WireError("too-large", f"more than {max_bytes} bytes came")
            if len(part) > self._left:
                raise Busy
            held[0] += len(part)
            self._left -= len(part)
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)


def check_headers(headers: Headers, content_type: str, max_bytes: int) -> None:
    """Hold what a body is announced as against what is taken. Raises WireError."""
    kind, length = b"", b"0"
    for name, value in headers:
        if name == b"content-type":
            kind = value
        elif name == b"content-length":
            length = value
    if kind.partition(b";")[0].strip().lower() != content_type.encode():
        raise WireError("bad-content-type", f"the content type must be {content_type}")
    if length.isdigit() and int(length[:18]) > max_bytes:
        raise WireError("too-large", f"a body of {int(length[:18])} bytes; at most {max_bytes} are taken")
