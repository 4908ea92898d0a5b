"""The ASGI application: batches first, then what the table says, under headers that all answers carry.

Starlette, not Litestar: what Litestar would add is what msgspec and our table give already (structs in and out, schemas
for OpenAPI), at several times the import; and the one path that matters for speed goes by neither.
"""

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from outrider_collector.api.access import Access
from outrider_collector.api.batches import PATH as BATCHES_PATH
from outrider_collector.api.batches import Batches
from outrider_collector.api.bodies import Budget
from outrider_collector.api.headers import WithHeaders
from outrider_collector.api.metrics import Source
from outrider_collector.api.operation import Operation, Parts
from outrider_collector.api.refusals import code_of, refusal_of
from outrider_collector.api.serving import Endpoint, Serving
from outrider_collector.api.table import make_table


class Application:
    """What the server calls for each request. `table` is what it serves."""

    def __init__(self, parts: Parts, *, more: Iterable[Operation] = (), sources: Iterable[Source] = ()) -> None:
        budget, access = Budget(), Access(parts.settings, parts.engine)
        self.table = make_table(parts, access, budget, more=more, sources=sources)
        self._batches = Batches(parts.intake, parts.settings, parts.counters, budget)
        self._rest = WithHeaders(_routed(self.table, Serving(parts, access, budget), parts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == BATCHES_PATH and scope["method"] == "POST":
            await self._batches(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def _routed(table: Iterable[Operation], serving: Serving, parts: Parts) -> ASGIApp:
    """One route for each path, so that another method is 405 and not another path's."""
    by_path: dict[str, dict[str, Operation]] = {}
    for each in table:
        by_path.setdefault(each.path, {})[each.method] = each

    async def on_http(request: Request, error: Exception) -> Response:
        del request
        parts.counters.refused(code_of(error))
        return refusal_of(error)

    made = Starlette(
        routes=[Route(path, _by_method(serving, methods), methods=[*methods]) for path, methods in by_path.items()],
        exception_handlers={HTTPException: on_http, Exception: on_http},
    )
    made.router.redirect_slashes = False  # it would send tokens on to wherever the Host header says
    return made


def _by_method(serving: Serving, methods: dict[str, Operation]) -> Endpoint:
    endpoints = {name: serving.endpoint(operation) for name, operation in methods.items()}
    if "GET" in endpoints:
        endpoints["HEAD"] = endpoints["GET"]

    async def serve(request: Request) -> Response:
        return await endpoints[request.method](request)

    return serve
