"""The table of operations: all there are, in the order in which they are looked through.

A part of the collector that has operations of its own (exports, threat lists) hands them to `make_table` as `more`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from outrider_collector.answers import answer
from outrider_collector.api import agents, audited, findings, health, suppressions, tokens, triage
from outrider_collector.api.access import Access
from outrider_collector.api.batches import PATH as BATCHES_PATH
from outrider_collector.api.bodies import Budget
from outrider_collector.api.enrolment import ENROL, Enrolling
from outrider_collector.api.metrics import METRICS, Metrics, Source
from outrider_collector.api.openapi import make_document
from outrider_collector.api.operation import Operation, Parts, Serve
from outrider_collector.api.stream import STREAM, Streams
from outrider_wire.batch import CONTENT_TYPE
from outrider_wire.enrolment import Receipt

BATCHES: Final = Operation(
    method="POST",
    path=BATCHES_PATH,
    role=None,
    summary="Take a signed batch; answered once it is on disk",
    answer=Receipt,
    consumes=CONTENT_TYPE,
    refusals=("unknown-agent", "bad-signature", "quarantined", "fork", "truncated", "bad-magic", "bad-digest"),
)
"""Described here and served before the framework (`batches.py`)."""

DOCUMENT: Final = Operation(
    method="GET",
    path="/v1/openapi.json",
    role=None,
    summary="The OpenAPI document",
    answer=dict[str, Any],
)

DESCRIBED: Final[tuple[Operation, ...]] = (
    BATCHES,
    ENROL,
    STREAM,
    *triage.OPERATIONS,
    *findings.OPERATIONS,
    *suppressions.OPERATIONS,
    *agents.OPERATIONS,
    *tokens.OPERATIONS,
    *audited.OPERATIONS,
    *health.OPERATIONS,
    METRICS,
    DOCUMENT,
)
"""All of the API's own, as they are without a collector: some have their function only with one."""


def make_table(
    parts: Parts, access: Access, budget: Budget, *, more: Iterable[Operation] = (), sources: Iterable[Source] = ()
) -> tuple[Operation, ...]:
    """The whole table. Raises ConfigError where settings do not hold, ValueError for one that is there twice."""
    metrics = replace(METRICS, role=None) if parts.settings.metrics_open else METRICS
    table = [metrics if each is METRICS else each for each in DESCRIBED] + [*more]
    served: dict[str, Serve] = {
        ENROL.name: Enrolling(parts, budget).serve,
        STREAM.name: Streams(parts, access).serve,
        METRICS.name: Metrics(parts, sources).serve,
        DOCUMENT.name: _document(table),
    }
    names = [each.name for each in table]
    if len(set(names)) < len(names):
        raise ValueError(f"an operation is there twice: {sorted(names)}")
    return tuple(replace(each, serve=served[each.name]) if each.name in served else each for each in table)


def _document(table: Sequence[Operation]) -> Serve:
    """The OpenAPI document, made when it is first asked for."""
    made: list[Response] = []

    async def serve(request: Request, parts: Parts) -> Response:
        del request, parts
        if not made:
            made.append(answer(make_document(table)))
        return made[0]

    return serve
