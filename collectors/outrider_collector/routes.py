"""The HTTP face: each handler reads a bounded body, asks the intake or the store, and answers.

    POST /v1/enrol      an `EnrolRequest`            -> `EnrolAnswer`
    POST /v1/batches    a batch                      -> `Receipt`, once it is on disk
    GET  /v1/findings   ?limit= &since= &type= &after=   -> `FindingPage`
    GET  /v1/agents     ?limit=                      -> agents, the last heard first
    GET  /healthz       whether the intake works
"""

import asyncio
import hashlib
import hmac
import math
import time
from collections.abc import Awaitable, Callable

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from outrider_collector.admission import Admitter
from outrider_collector.answers import answer, refuse
from outrider_collector.bodies import read_body
from outrider_collector.intake import Busy, Intake, StoreUnavailable
from outrider_collector.limits import Limited
from outrider_collector.queries import read_finding_query, read_limit
from outrider_collector.settings import Settings
from outrider_collector.store.agents import Agent, list_agents
from outrider_collector.store.findings import FindingPage, FindingQuery, query_findings
from outrider_collector.views import view_agent
from outrider_wire.batch import CONTENT_TYPE
from outrider_wire.enrolment import ENROL_CONTENT_TYPE, MAX_ENROL_BYTES, read_request
from outrider_wire.errors import WireError

Endpoint = Callable[[Request], Awaitable[Response]]

BUSY_RETRY_S = 1

UNAVAILABLE_RETRY_S = 5

MAX_ADMITTING = 8
"""Most enrolments that are looked into at once: each may wait for STS."""

MAX_WAITING_ADMISSION = 200


class Routes:
    """The handlers and what they need."""

    def __init__(self, intake: Intake, engine: Engine, settings: Settings) -> None:
        self._intake, self._engine, self._settings = intake, engine, settings
        self._read_token = _hash(settings.read_token)
        self._admitter = Admitter(settings, engine, clock_ns=time.time_ns)
        self._admitting = CapacityLimiter(MAX_ADMITTING)

    async def enrol(self, request: Request) -> Response:
        body = await self._body(request, ENROL_CONTENT_TYPE, MAX_ENROL_BYTES)
        wanted = await run_in_threadpool(read_request, body)
        if self._admitting.statistics().tasks_waiting >= MAX_WAITING_ADMISSION:
            raise Busy
        source = request.client.host if request.client else ""
        admission = await to_thread.run_sync(self._admitter.admit, wanted, source, limiter=self._admitting)
        made = await asyncio.wrap_future(self._intake.enrol(wanted, admission))
        if not made.accepted:
            raise WireError(made.reason, "this task has a key already, and its resume key did not sign this one")
        return answer(made)

    async def batches(self, request: Request) -> Response:
        body = await self._body(request, CONTENT_TYPE, self._settings.max_batch_bytes)
        return answer(await asyncio.wrap_future(self._intake.submit(body)))

    async def findings(self, request: Request) -> Response:
        self._check_reader(request)
        query = read_finding_query(request.query_params)
        return answer(await run_in_threadpool(self._findings, query))

    async def agents(self, request: Request) -> Response:
        self._check_reader(request)
        limit = read_limit(request.query_params)
        return answer([view_agent(agent) for agent in await run_in_threadpool(self._agents, limit)])

    async def health(self, request: Request) -> Response:
        del request
        return answer({"ok": True})

    async def _body(self, request: Request, content_type: str, max_bytes: int) -> bytes:
        timeout_s = self._settings.body_timeout_s
        return await read_body(request, content_type=content_type, max_bytes=max_bytes, timeout_s=timeout_s)

    def _check_reader(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(_hash(token.strip()), self._read_token):
            raise WireError("unauthorized", "findings are shown to who has the collector's token")

    def _findings(self, query: FindingQuery) -> FindingPage:
        with self._engine.connect() as connection:
            return query_findings(connection, query)

    def _agents(self, limit: int) -> list[Agent]:
        with self._engine.connect() as connection:
            return list_agents(connection, limit)


def make_app(intake: Intake, engine: Engine, settings: Settings) -> Starlette:
    """The ASGI application over an intake that was started."""
    routes = Routes(intake, engine, settings)
    return Starlette(
        routes=[
            Route("/v1/enrol", routes.enrol, methods=["POST"]),
            Route("/v1/batches", routes.batches, methods=["POST"]),
            Route("/v1/findings", routes.findings),
            Route("/v1/agents", routes.agents),
            Route("/healthz", routes.health),
        ],
        exception_handlers={
            WireError: _on_refusal,
            Busy: _on_busy,
            Limited: _on_limited,
            StoreUnavailable: _on_unavailable,
            SQLAlchemyError: _on_unavailable,
            HTTPException: _on_http,
            Exception: _on_fault,
        },
    )


async def _on_refusal(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, WireError)
    return refuse(error.code, error.detail)


async def _on_busy(request: Request, error: Exception) -> Response:
    del request, error
    return refuse("busy", "too many requests wait", retry_after_s=BUSY_RETRY_S)


async def _on_limited(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Limited)
    return refuse("busy", "more came from there than its share", retry_after_s=math.ceil(error.retry_after_s))


async def _on_unavailable(request: Request, error: Exception) -> Response:
    del request, error
    return refuse("store-unavailable", "nothing can be kept now", retry_after_s=UNAVAILABLE_RETRY_S)


async def _on_http(request: Request, error: Exception) -> Response:
    del request
    status = error.status_code if isinstance(error, HTTPException) else 400
    code = {404: "not-found", 405: "method-not-allowed"}.get(status, "bad-request")
    return refuse(code, "there is no such thing here")


async def _on_fault(request: Request, error: Exception) -> Response:
    del request, error  # the server logs it; the peer learns nothing
    return refuse("internal", "the collector made a mistake; its log says which")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
