"""GET /v1/findings/stream: findings as they change, as server-sent events.

An event is a finding's newest state, its id the number of that change. A client that comes back with Last-Event-ID gets
all that changed since; one that comes without gets what is yet to come. Each reads its own pages from the store at its
own pace, so a slow one holds no memory and nobody else up. One look at the feed's counter, every `LOOK_EVERY_S`, serves
all of them; a collector that shares its store sees what the others indexed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from outrider_collector.api.access import Access
from outrider_collector.api.matching import StreamFilter, passes
from outrider_collector.api.operation import Operation, Parts
from outrider_collector.api.parameters import read_query
from outrider_collector.api.views import FindingView, view_finding
from outrider_collector.intake import Busy
from outrider_collector.store.feed import newest_change
from outrider_collector.store.reading import reading
from outrider_collector.store.stored import MAX_NS, StoredFinding, read_changes
from outrider_wire.errors import WireError

LOOK_EVERY_S: Final = 0.25
HEARTBEAT_S: Final = 15.0
"""A line that says nothing after so much silence: proxies keep what is quiet for less than a minute, and a token that
was revoked meanwhile ends the stream."""

MAX_STREAMS: Final = 64
PAGE: Final = 100
RETRY_MS: Final = 2000
"""How soon a client comes back."""

MEDIA: Final = "text/event-stream"


class Streams:
    """The endpoint and the one look that all streams wait for."""

    def __init__(self, parts: Parts, access: Access) -> None:
        self._parts, self._access = parts, access
        self._newest = 0
        self._changed = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None

    async def serve(self, request: Request, parts: Parts) -> Response:
        """Begin a stream."""
        wanted = read_query(request.scope["query_string"], StreamFilter)
        after = _read_last(request.headers.get("last-event-id", ""))
        if parts.counters.streams >= MAX_STREAMS:
            raise Busy
        if after is None:
            after = await to_thread.run_sync(self._read_newest)
        authorization = request.headers.get("authorization", "")
        events = self._events(authorization, after, wanted)
        return StreamingResponse(events, media_type=MEDIA)

    async def _events(self, authorization: str, after: int, wanted: StreamFilter) -> AsyncIterator[bytes]:
        self._parts.counters.streams += 1
        try:
            yield f"retry: {RETRY_MS}\n: outrider\n\n".encode()
            while not self._parts.stopping():
                page = await to_thread.run_sync(self._read, after)
                for stored in page:
                    after = stored.change
                    if passes(wanted, stored):
                        yield _event(stored)
                if len(page) < PAGE and not await self._wait(after):
                    if not await to_thread.run_sync(self._still_may, authorization):
                        return
                    yield f": {after}\n\n".encode()
        except SQLAlchemyError:
            return  # the client comes back, to where it was
        finally:
            self._parts.counters.streams -= 1

    async def _wait(self, after: int) -> bool:
        """Until something changed; False after a heartbeat's time, and when the collector stops."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_S), self._changed:
                await self._changed.wait_for(lambda: self._newest > after or self._parts.stopping())
        return self._newest > after

    async def _look(self) -> None:
        """Look at the counter for as long as there are streams."""
        while self._parts.counters.streams and not self._parts.stopping():
            with contextlib.suppress(SQLAlchemyError):
                self._newest = await to_thread.run_sync(self._read_newest)
            async with self._changed:
                self._changed.notify_all()
            await asyncio.sleep(LOOK_EVERY_S)
        async with self._changed:
            self._changed.notify_all()

    def _read_newest(self) -> int:
        with reading(self._parts.engine) as connection:
            return newest_change(connection)

    def _read(self, after: int) -> list[StoredFinding]:
        with reading(self._parts.engine) as connection:
            return read_changes(connection, after, limit=PAGE)

    def _still_may(self, authorization: str) -> bool:
        try:
            self._access.check(authorization, "read", self._parts.clock_ns())
        except WireError:
            return False
        return True


def _event(stored: StoredFinding) -> bytes:
    """JSON has no bare line break, so one data line holds it."""
    return b"id: %d\nevent: finding\ndata: %s\n\n" % (stored.change, msgspec.json.encode(view_finding(stored)))


def _read_last(text: str) -> int | None:
    """Raises WireError."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= MAX_NS):
        raise WireError("bad-request", "Last-Event-ID is none of ours")
    return int(text)


STREAM: Final = Operation(
    method="GET",
    path="/v1/findings/stream",
    role="read",
    summary="Findings as they change, as server-sent events; Last-Event-ID goes on from where a stream ended",
    query=StreamFilter,
    answer=FindingView,
    media=MEDIA,
)
