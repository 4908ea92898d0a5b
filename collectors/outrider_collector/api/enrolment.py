"""POST /v1/enrol: a key that wants to be known. What it takes is in `admission.py` and `enrol.py`."""

import asyncio
from typing import Final

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response

from outrider_collector.admission import Admitter
from outrider_collector.answers import answer
from outrider_collector.api.bodies import Budget
from outrider_collector.api.operation import Operation, Parts
from outrider_collector.api.origin import origin_of, read_networks
from outrider_collector.intake import Busy
from outrider_wire.enrolment import ENROL_CONTENT_TYPE, MAX_ENROL_BYTES, EnrolAnswer, read_request
from outrider_wire.errors import WireError

MAX_ADMITTING: Final = 8
"""Most enrolments that are looked into at once: each may wait for STS."""

MAX_WAITING_ADMISSION: Final = 200


class Enrolling:
    """The endpoint. Raises ConfigError: its settings do not hold."""

    def __init__(self, parts: Parts, budget: Budget) -> None:
        self._parts, self._budget = parts, budget
        self._admitter = Admitter(parts.settings, parts.engine, clock_ns=parts.clock_ns)
        self._admitting = CapacityLimiter(MAX_ADMITTING)
        self._proxies = read_networks(parts.settings.trusted_proxies)

    async def serve(self, request: Request, parts: Parts) -> Response:
        """Take one enrolment."""
        async with self._budget.body(
            request.scope["headers"],
            request.receive,
            content_type=ENROL_CONTENT_TYPE,
            max_bytes=MAX_ENROL_BYTES,
            timeout_s=parts.settings.body_timeout_s,
        ) as body:
            wanted = read_request(body)
        if self._admitting.statistics().tasks_waiting >= MAX_WAITING_ADMISSION:
            raise Busy
        source = origin_of(request.scope, self._proxies)
        admission = await to_thread.run_sync(self._admitter.admit, wanted, source, limiter=self._admitting)
        made = await asyncio.wrap_future(parts.intake.enrol(wanted, admission))
        if not made.accepted:
            raise WireError(made.reason, "this task has a key already, and its resume key did not sign this one")
        return answer(made)


ENROL: Final = Operation(
    method="POST",
    path="/v1/enrol",
    role=None,
    summary="Enrol an agent's key",
    answer=EnrolAnswer,
    consumes=ENROL_CONTENT_TYPE,
    refusals=(
        "bad-token",
        "token-revoked",
        "token-expired",
        "token-used-up",
        "token-scope",
        "proof-needed",
        "bad-signature",
        "second-enrolment",
        "aws-proof",
        "aws-refused",
        "aws-identity",
        "sts-unavailable",
    ),
)
