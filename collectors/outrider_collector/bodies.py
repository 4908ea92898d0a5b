"""Request bodies: read up to a bound, within a time, or refused."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from outrider_wire.errors import WireError


async def read_body(request: Request, *, content_type: str, max_bytes: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises:
        WireError: `bad-content-type`, `too-large` or `slow-body`.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != content_type:
        raise WireError("bad-content-type", f"the content type must be {content_type}")
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdecimal() and int(announced[:18]) > max_bytes:
        raise WireError("too-large", f"a body of {announced[:18]} bytes; at most {max_bytes} are taken")
    try:
        async with asyncio.timeout(timeout_s):
            return await _collect(request, max_bytes)
    except TimeoutError:
        raise WireError("slow-body", f"the body did not come within {timeout_s:g} s") from None
    except ClientDisconnect:
        raise WireError("truncated", "the connection ended before the body did") from None


async def _collect(request: Request, max_bytes: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes:
            raise WireError("too-large", f"more than {max_bytes} bytes came")
        parts.append(part)
    return b"".join(parts)
