"""The signed question, looked at before it is asked: no network, no secret, no doubt left to STS but the signature.

Every header is one of a fixed list, every one is signed, each has the value that this request and this collector call
for, and the time is now. So what is sent on says nothing that we would not say ourselves.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from outrider_collector.identity.endpoints import Endpoint
from outrider_wire.aws_proof import FORM, SIGNED_HEADERS, AwsProof, binding_headers
from outrider_wire.enrolment import EnrolRequest
from outrider_wire.errors import WireError

MAX_AGE_S = 300
"""How far a question's time may be from ours, in seconds, either way."""

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[A-Z0-9]{16,128})/(?P<day>[0-9]{8})/(?P<region>[a-z0-9-]{1,32})"
    r"/sts/aws4_request, SignedHeaders=(?P<signed>[a-z0-9;-]{1,512}), Signature=[0-9a-f]{64}\Z"
)
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z\Z")


def check_proof(
    request: EnrolRequest, proof: AwsProof, endpoints: Mapping[str, Endpoint], *, collector: str, now_s: float
) -> Endpoint:
    """Where the question may be asked.

    Raises:
        WireError: `aws-proof`, with what is wrong.
    """
    endpoint = endpoints.get(proof.url)
    if endpoint is None:
        raise _wrong(f"{proof.url[:100]!r} is no STS endpoint that is allowed here")
    headers = proof.headers
    _check_names(headers)
    expected = binding_headers(request.public_key, request.resume_public_key, collector)
    expected |= {"host": endpoint.host_header, "content-type": FORM}
    for name, value in expected.items():
        if headers[name] != value:
            raise _wrong(f"{name} is {headers[name][:100]!r}; it must be {value!r}")
    _check_date(headers["x-amz-date"], now_s)
    _check_authorization(headers, endpoint)
    return endpoint


def _check_names(headers: Mapping[str, str]) -> None:
    wanted = {*SIGNED_HEADERS, "authorization"}
    if missing := wanted - headers.keys():
        raise _wrong(f"the header {min(missing)} is missing")
    if more := headers.keys() - wanted:
        raise _wrong(f"the header {min(more)[:64]!r} has no business there")
    for name, value in headers.items():
        if not value or not value.isascii() or not value.isprintable():
            raise _wrong(f"the header {name} is no plain text")


def _check_date(date: str, now_s: float) -> None:
    try:
        if not _DATE.match(date):
            raise ValueError
        at_s = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _wrong(f"x-amz-date {date[:32]!r} is no time") from None
    if abs(now_s - at_s) > MAX_AGE_S:
        word = "old" if at_s < now_s else "early"
        raise _wrong(f"it is {abs(now_s - at_s):.0f} s too {word}; at most {MAX_AGE_S} s are taken (is a clock wrong?)")


def _check_authorization(headers: Mapping[str, str], endpoint: Endpoint) -> None:
    found = _AUTHORIZATION.match(headers["authorization"])
    if found is None:
        raise _wrong("authorization is no Signature Version 4 for STS")
    signed = found["signed"].split(";")
    if unsigned := [name for name in SIGNED_HEADERS if name not in signed]:
        raise _wrong(f"the header {unsigned[0]} is not signed")
    if signed != list(SIGNED_HEADERS):
        raise _wrong("other headers are signed than these")
    if found["day"] != headers["x-amz-date"][:8]:
        raise _wrong("it is signed for another day")
    if endpoint.region and found["region"] != endpoint.region:
        raise _wrong(f"it is signed for {found['region']}, and the endpoint is {endpoint.region}'s")


def _wrong(what: str) -> WireError:
    return WireError("aws-proof", f"the signed request to STS: {what}")
