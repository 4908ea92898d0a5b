"""From the table to endpoints: each reads and checks a request, asks its function, and answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response

from outrider_collector.answers import answer
from outrider_collector.api.access import Access
from outrider_collector.api.bodies import Budget
from outrider_collector.api.operation import Call, Caller, Operation, Parts
from outrider_collector.api.parameters import read_key, read_query
from outrider_collector.api.refusals import EXPECTED, code_of, refusal_of
from outrider_collector.intake import Busy
from outrider_collector.store.database import writing
from outrider_collector.store.reading import reading
from outrider_wire.errors import WireError

MAX_BODY_BYTES: Final = 256 << 10
"""Longest JSON body."""

MAX_ASKING: Final = 8
"""Requests that are in the database at once; SQLite and a pool of connections serve no more any faster."""

MAX_WAITING: Final = 128

Endpoint = Callable[[Request], Awaitable[Response]]

_NOBODY: Final = Caller("nobody", "read")


class Serving:
    """Makes endpoints of operations."""

    def __init__(self, parts: Parts, access: Access, budget: Budget) -> None:
        self._parts, self._access, self._budget = parts, access, budget
        self._asking = CapacityLimiter(MAX_ASKING)

    def endpoint(self, operation: Operation) -> Endpoint:
        """The endpoint of one operation: whatever becomes of a request is counted."""

        async def serve(request: Request) -> Response:
            try:
                async with asyncio.timeout(operation.timeout_s or self._parts.settings.request_timeout_s):
                    response = await self._serve(operation, request)
            except EXPECTED as error:
                self._parts.counters.refused(code_of(error))
                response = refusal_of(error)
            self._parts.counters.requests[operation.name, response.status_code] += 1
            return response

        return serve

    async def _serve(self, operation: Operation, request: Request) -> Response:
        if operation.serve is not None:
            if operation.role is not None:
                await self._in_thread(self._check, request, operation)
            return await operation.serve(request, self._parts)
        if operation.body is None:
            return answer(await self._in_thread(self._ask, operation, request, None, b""), operation.status)
        caller = await self._in_thread(self._check, request, operation)  # a stranger's body is not read
        body = await self._read_body(operation, request)
        return answer(await self._in_thread(self._ask, operation, request, caller, body), operation.status)

    async def _read_body(self, operation: Operation, request: Request) -> bytes:
        async with self._budget.body(
            request.scope["headers"],
            request.receive,
            content_type=operation.consumes,
            max_bytes=MAX_BODY_BYTES,
            timeout_s=self._parts.settings.body_timeout_s,
        ) as data:
            return data

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._asking.statistics().tasks_waiting >= MAX_WAITING:
            raise Busy
        return await to_thread.run_sync(function, *arguments, limiter=self._asking, abandon_on_cancel=True)

    def _check(self, request: Request, operation: Operation) -> Caller:
        if operation.role is None:
            return _NOBODY
        return self._access.check(request.headers.get("authorization", ""), operation.role, self._parts.clock_ns())

    def _ask(self, operation: Operation, request: Request, caller: Caller | None, body: bytes) -> object:
        call: Call[Any, Any] = Call(
            parts=self._parts,
            caller=caller or self._check(request, operation),
            key=read_key(request.path_params, operation.key),
            query=read_query(request.scope["query_string"], operation.query),
            body=_decode(body, operation),
            now_ns=self._parts.clock_ns(),
        )
        if operation.work is not None:
            return operation.work(call)
        assert operation.ask is not None
        transaction = writing if operation.writes else reading
        with transaction(self._parts.engine) as connection:
            return operation.ask(connection, call)


def _decode(body: bytes, operation: Operation) -> Any:
    if operation.body is None:
        return None
    try:
        return msgspec.json.decode(body, type=operation.body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise WireError("bad-request", f"body: {error}") from error
