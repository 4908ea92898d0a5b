"""STS, asked: one request, one bounded answer, no redirects, and an end to waiting.

The answer is XML from whoever holds the endpoint's certificate. It is read as if it were hostile all the same.
"""

import http.client
import re
import ssl
from collections.abc import Mapping
from xml.etree import ElementTree

from msgspec import Struct

from outrider_collector.identity.endpoints import Endpoint
from outrider_wire.aws_proof import BODY, METHOD
from outrider_wire.errors import WireError
from outrider_wire.patience import Patience

TIMEOUT_S = 3.0
"""Longest that connecting, and then the whole of an answer, may take."""

MAX_ANSWER_BYTES = 16 << 10

_CODE = re.compile(r"[A-Za-z.]{1,64}\Z")
_LATER = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "ServiceUnavailable"})


class CallerIdentity(Struct, frozen=True):
    """What STS says of who signed: the ARN, the account, and the unique id of role and session."""

    arn: str
    account: str
    user_id: str


def ask_sts(endpoint: Endpoint, headers: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> CallerIdentity:
    """Ask who signed.

    Raises:
        WireError: `aws-refused`, STS says no, or another; `sts-unavailable`, it could not be asked.
    """
    status, body = _exchange(endpoint, headers, timeout_s)
    if status == 200:
        return read_identity(body)
    code = _error_code(body)
    if status == 429 or status >= 500 or code in _LATER:
        raise WireError("sts-unavailable", f"STS answers {status} {code}")
    if 300 <= status < 400:
        raise WireError("aws-refused", f"{endpoint.host} answers {status}: it sends us elsewhere, and we do not go")
    raise WireError("aws-refused", f"STS refuses the signed request: {status} {code}")


def read_identity(body: bytes) -> CallerIdentity:
    """The answer to GetCallerIdentity. Raises WireError `aws-refused`."""
    result = _find(_parse(body), "GetCallerIdentityResult")
    texts = [_find(result, name) for name in ("Arn", "Account", "UserId")] if result is not None else []
    values = [(each.text or "").strip() if each is not None else "" for each in texts]
    if len(values) != 3 or not all(values) or max(map(len, values)) > 2048:
        raise WireError("aws-refused", "STS gives an answer that names nobody")
    return CallerIdentity(*values)


def _parse(body: bytes) -> ElementTree.Element | None:
    if b"<!" in body or b"\0" in body:  # no document type, so no entities
        return None
    try:
        return ElementTree.fromstring(body.decode("utf-8"))
    except (ElementTree.ParseError, ValueError):
        return None


def _find(above: ElementTree.Element | None, name: str) -> ElementTree.Element | None:
    """The one child of that name, in whatever namespace."""
    found = [each for each in above if each.tag.rpartition("}")[2] == name] if above is not None else []
    return found[0] if len(found) == 1 else None


def _error_code(body: bytes) -> str:
    code = _find(_find(_parse(body), "Error"), "Code")
    text = (code.text or "").strip() if code is not None else ""
    return text if _CODE.match(text) else ""


def _exchange(endpoint: Endpoint, headers: Mapping[str, str], timeout_s: float) -> tuple[int, bytes]:
    connection = _connection(endpoint, timeout_s)
    patience = Patience(timeout_s)
    try:
        connection.connect()
        patience.begin(connection.sock)
        connection.putrequest(METHOD, "/", skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(BODY)))
        connection.endheaders(BODY)
        answer = connection.getresponse()
        body = answer.read(MAX_ANSWER_BYTES + 1)
        if len(body) > MAX_ANSWER_BYTES:
            raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes")
        if patience.ended:
            raise TimeoutError
        if answer.length:
            raise ValueError("the answer ended early")
        return answer.status, body
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = "no whole answer in time" if patience.ended else str(error) or type(error).__name__
        raise WireError("sts-unavailable", f"STS at {endpoint.host}: {reason}") from error
    finally:
        patience.cancel()
        connection.close()


def _connection(endpoint: Endpoint, timeout_s: float) -> http.client.HTTPConnection:
    if endpoint.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(endpoint.host, endpoint.port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)
