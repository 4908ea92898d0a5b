"""Refusals: what each error becomes as an answer, the same on every path."""

import logging
import math
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from outrider_collector.answers import refuse
from outrider_collector.intake import Busy, StoreUnavailable
from outrider_collector.limits import Limited
from outrider_wire.errors import WireError

BUSY_RETRY_S: Final = 1
UNAVAILABLE_RETRY_S: Final = 5

EXPECTED: Final = (WireError, Busy, Limited, StoreUnavailable, SQLAlchemyError, TimeoutError, HTTPException)
"""Errors that have an answer of their own. Any other is our mistake: the server logs it, the peer learns nothing."""

log = logging.getLogger("outrider.collector")


def code_of(error: Exception) -> str:
    """The refusal code of an error."""
    if isinstance(error, WireError):
        return error.code
    if isinstance(error, Busy | Limited):
        return "busy"
    if isinstance(error, StoreUnavailable | SQLAlchemyError | TimeoutError):
        return "store-unavailable"
    if isinstance(error, HTTPException):
        return {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
    return "internal"


def refusal_of(error: Exception) -> Response:
    """The answer to a request that ended so."""
    if isinstance(error, WireError):
        return refuse(error.code, error.detail)
    if isinstance(error, Busy):
        return refuse("busy", "too many requests wait", retry_after_s=BUSY_RETRY_S)
    if isinstance(error, Limited):
        return refuse("busy", "more came from there than its share", retry_after_s=math.ceil(error.retry_after_s))
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, SQLAlchemyError):
        log.error("the store refuses: %s", error)
    if isinstance(error, EXPECTED):
        return refuse("store-unavailable", "the store does not answer now", retry_after_s=UNAVAILABLE_RETRY_S)
    return refuse("internal", "the collector made a mistake; its log says which")


def _of_http(error: HTTPException) -> Response:
    response = refuse(code_of(error), "there is no such thing here")
    if error.headers and "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response
