"""The lists over HTTP: documents for sidecars, and how the lists stand for people.

A document is shown to whoever knows its name, which only receipts tell: it is no secret, and a listed name cannot be
read from it, only asked for. It never changes, so anything between may keep it.
"""

import re
from typing import Annotated, Any, Final

from anyio import to_thread
from msgspec import Meta
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from outrider_collector.api.operation import Call, Operation, Parts
from outrider_collector.lists.entry_operations import OPERATIONS as ENTRIES
from outrider_collector.lists.publishing import ListsState, Publisher
from outrider_wire.errors import WireError
from outrider_wire.lists import LISTS_CONTENT_TYPE

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

DOCUMENT: Final = Operation(
    method="GET",
    path="/v1/lists/{digest}",
    role=None,
    summary="A signed document of threat lists, by the name that receipts announce",
    answer=bytes,
    key=Annotated[str, Meta(pattern="^[0-9a-f]{64}$")],
    media=LISTS_CONTENT_TYPE,
    refusals=("not-found",),
)
STATE: Final = Operation(
    method="GET",
    path="/v1/lists",
    role="read",
    summary="Which threat lists are in force, and how their sources stand",
    answer=ListsState,
)
DESCRIBED: Final = (STATE, DOCUMENT, *ENTRIES)
"""All of them, as they are without a publisher."""


def lists_operations(publisher: Publisher) -> tuple[Operation, ...]:
    """The lines of the table."""

    async def serve(request: Request, parts: Parts) -> Response:
        del parts
        digest = request.path_params["digest"]
        data = await to_thread.run_sync(publisher.document, digest) if _DIGEST.fullmatch(digest) else None
        if data is None:
            raise WireError("not-found", "there is no such list document, or no more")
        return Response(data, media_type=LISTS_CONTENT_TYPE, headers={"Cache-Control": "public, immutable"})

    def work(call: Call[Any, Any]) -> ListsState:
        del call
        return publisher.state

    return replace(DOCUMENT, serve=serve), replace(STATE, work=work), *ENTRIES
