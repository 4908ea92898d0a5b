"""POST /v1/batches: the one path that every agent takes every few seconds, answered before the framework is asked.

A batch costs the processor half a millisecond of signature and digests. Routing, request and response objects would add
a tenth of that for nothing: there is one path, one content type, and an answer of four fields.
"""

import asyncio
import time
from typing import Final

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.types import Receive, Scope, Send

from outrider_collector.api.bodies import Budget
from outrider_collector.api.counters import Counters
from outrider_collector.api.headers import JSON_HEADERS
from outrider_collector.api.refusals import EXPECTED, code_of, refusal_of
from outrider_collector.intake import Intake
from outrider_collector.keyring import NotAtHand
from outrider_collector.settings import Settings
from outrider_wire.batch import CONTENT_TYPE

PATH = "/v1/batches"

MAX_ASKING: Final = 4
"""Most threads in which the store is asked for agents that are new here, so that nobody else waits for that."""


class Batches:
    """The endpoint, an ASGI application of its own."""

    def __init__(self, intake: Intake, settings: Settings, counters: Counters, budget: Budget) -> None:
        self._intake, self._settings, self._counters, self._budget = intake, settings, counters, budget
        self._encoder = msgspec.json.Encoder()
        self._asking = CapacityLimiter(MAX_ASKING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._take(scope, receive)
        except EXPECTED as error:
            self._counters.refused(code_of(error))
            await refusal_of(error)(scope, receive, send)
            return
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [*JSON_HEADERS, length]})
        await send({"type": "http.response.body", "body": answer})

    async def _take(self, scope: Scope, receive: Receive) -> bytes:
        limits = self._settings
        async with self._budget.body(
            scope["headers"],
            receive,
            content_type=CONTENT_TYPE,
            max_bytes=limits.max_batch_bytes,
            timeout_s=limits.body_timeout_s,
        ) as data:
            began_s = time.perf_counter()
            try:
                answer = self._intake.submit_known(data)
            except NotAtHand as missing:
                await to_thread.run_sync(self._intake.keys.meet, missing.agent, limiter=self._asking)
                answer = self._intake.submit_known(data)
            receipt = await asyncio.wrap_future(answer)
        outcome = "duplicate" if receipt.duplicate else "accepted"
        self._counters.answered(outcome, len(data), time.perf_counter() - began_s)
        return self._encoder.encode(receipt)
