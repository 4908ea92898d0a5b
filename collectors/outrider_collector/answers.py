"""Answers: JSON, small, and the same shape for every refusal."""

from typing import Any

import msgspec
from starlette.responses import Response

from outrider_wire.enrolment import Refusal

STATUS = {
    "unauthorized": 401,
    "bad-token": 401,
    "token-revoked": 401,
    "token-expired": 401,
    "token-used-up": 401,
    "proof-needed": 401,
    "forbidden": 403,
    "token-scope": 403,
    "aws-proof": 403,
    "aws-refused": 403,
    "aws-identity": 403,
    "unknown-agent": 401,
    "bad-signature": 403,
    "quarantined": 403,
    "second-enrolment": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "slow-body": 408,
    "fork": 409,
    "too-many": 409,
    "too-large": 413,
    "bad-content-type": 415,
    "busy": 429,
    "internal": 500,
    "store-unavailable": 503,
    "sts-unavailable": 503,
}
"""HTTP status by refusal code; every other code is 400."""

CLOSE = frozenset({408, 413, 415})
"""After these the rest of a body may still be on its way: the connection is not used again."""


def answer(what: Any, status: int = 200) -> Response:
    """Any of our structs as JSON."""
    return Response(msgspec.json.encode(what), status, media_type="application/json")


def refuse(code: str, detail: str, *, retry_after_s: int | None = None) -> Response:
    """A refusal. `detail` is bounded: it may quote what the peer sent."""
    status = STATUS.get(code, 400)
    response = answer(Refusal(code, detail[:300]), status)
    if status in CLOSE:
        response.headers["Connection"] = "close"
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response
