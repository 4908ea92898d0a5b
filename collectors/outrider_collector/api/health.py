"""Whether the collector lives, and whether it should be sent anything."""

import shutil
from typing import Any, Final

from anyio import to_thread
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from outrider_collector.answers import answer
from outrider_collector.api.operation import Operation, Parts
from outrider_collector.backlog import backlog_bytes
from outrider_collector.store.reading import reading

STORE_TIMEOUT_S: Final = 2.0
MIN_FREE_BYTES: Final = 256 << 20
"""With less room on the disk under the spool, batches had better go elsewhere."""


class Health(Struct, frozen=True):
    """That it answers at all."""

    ok: bool


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether batches should be sent here, and why not: each of `store`, `spool` and `index` is empty where well."""

    ready: bool
    store: str
    spool: str
    index: str
    index_lag_bytes: int


async def health(request: Request, parts: Parts) -> Response:
    """It lives."""
    del request, parts
    return answer(Health(True))


async def readiness(request: Request, parts: Parts) -> Response:
    """Looked at anew for each who asks; 503 where it is not ready."""
    del request
    found = await to_thread.run_sync(look, parts, abandon_on_cancel=True)
    return answer(found, 200 if found.ready else 503)


def look(parts: Parts) -> Readiness:
    """Ask store, disk and index how they are."""
    lag = backlog_bytes(parts.intake.indexer, parts.spool)
    most = parts.settings.ready_lag_bytes
    index = f"the index is {lag} bytes behind" if lag > most else ""
    store, spool = _look_at_store(parts), _look_at_spool(parts)
    leaving = parts.stopping()
    ready = not (store or spool or index or leaving)
    return Readiness(ready=ready, store=store, spool=spool, index=index, index_lag_bytes=lag)


def _look_at_store(parts: Parts) -> str:
    try:
        with reading(parts.engine, timeout_s=STORE_TIMEOUT_S) as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return "the store does not answer"
    return ""


def _look_at_spool(parts: Parts) -> str:
    try:
        free = shutil.disk_usage(parts.settings.data).free
    except OSError as error:
        return f"the data directory cannot be read: {error.strerror}"
    return f"{free} bytes are left on the disk" if free < MIN_FREE_BYTES else ""


def _operation(path: str, summary: str, kind: Any, serve: Any, *refusals: str) -> Operation:
    return Operation(method="GET", path=path, role=None, summary=summary, answer=kind, serve=serve, refusals=refusals)


OPERATIONS: Final = (
    _operation("/healthz", "Whether the collector lives", Health, health),
    _operation("/readyz", "Whether batches should be sent here; 503 where not", Readiness, readiness),
)
