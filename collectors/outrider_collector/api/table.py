"""The table of operations: all there are, in the order in which they are looked through.

A part of the collector that has operations of its own (exports, threat lists) hands them to `make_table` as `more`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from outrider_collector.answers import answer
from outrider_collector.api import agents, audited, findings, health, suppressions, tokens, triage
from outrider_collector.api.access import Access
from outrider_collector.api.batches import PATH as BATCHES_PATH
from outrider_collector.api.bodies import Budget
from outrider_collector.api.enrolment import enrol_operation
from outrider_collector.api.metrics import Metrics, Source, metrics_operation
from outrider_collector.api.openapi import make_document
from outrider_collector.api.operation import Operation, Parts
from outrider_collector.api.stream import Streams, stream_operation
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


def make_table(
    parts: Parts, access: Access, budget: Budget, *, more: Iterable[Operation] = (), sources: Iterable[Source] = ()
) -> tuple[Operation, ...]:
    """The whole table. Raises ConfigError where settings do not hold, ValueError for one that is there twice."""
    table = [
        BATCHES,
        enrol_operation(parts, budget),
        stream_operation(Streams(parts, access)),
        *triage.OPERATIONS,
        *findings.OPERATIONS,
        *suppressions.OPERATIONS,
        *agents.OPERATIONS,
        *tokens.OPERATIONS,
        *audited.OPERATIONS,
        *health.OPERATIONS,
        metrics_operation(Metrics(parts, sources), is_open=parts.settings.metrics_open),
        *more,
    ]
    table.append(_document_operation(table))
    names = [each.name for each in table]
    if len(set(names)) < len(names):
        raise ValueError(f"an operation is there twice: {sorted(names)}")
    return tuple(table)


def _document_operation(table: Sequence[Operation]) -> Operation:
    """The OpenAPI document, made when it is first asked for, of the table it is in itself."""
    made: list[Response] = []

    async def serve(request: Request, parts: Parts) -> Response:
        del request, parts
        if not made:
            made.append(answer(make_document(table)))
        return made[0]

    return Operation(
        method="GET",
        path="/v1/openapi.json",
        role=None,
        summary="This document",
        answer=dict[str, Any],
        serve=serve,
    )
