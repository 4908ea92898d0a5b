"""The signed question that proves an AWS identity to a collector. Pure: keys and time come in as arguments."""

from urllib.parse import urlsplit

from outrider_sidecar.aws.sigv4 import Credentials, Request, host_of, sign
from outrider_wire.aws_proof import BODY, FORM, METHOD, AwsProof, binding_headers
from outrider_wire.enrolment import EnrolRequest


def make_proof(
    request: EnrolRequest, credentials: Credentials, *, collector: str, url: str, region: str, at_s: float
) -> AwsProof:
    """Prove, for the keys of a request and to one collector, whose credentials these are. `url` is STS's.

    Raises ValueError for credentials without a session: a user's, which stand for no task.
    """
    if not credentials.token:
        raise ValueError("these credentials are a user's: a role's are needed")
    said = binding_headers(request.public_key, request.resume_public_key, collector) | {"Content-Type": FORM}
    signed = sign(Request(url, METHOD, said, BODY), credentials, region=region, service="sts", at_s=at_s)
    return AwsProof(url, {name.lower(): value for name, value in signed.items()} | {"host": host_of(url)})


def sts_url(region: str, override: str = "") -> str:
    """Where the question is to be asked: a region's STS, or the one that is set. Raises ValueError."""
    if override:
        parts = urlsplit(override)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"sts_endpoint {override!r} is not of the form https://HOST")
        return f"{parts.scheme}://{parts.netloc}/"
    return f"https://sts.{region}.amazonaws.com" + (".cn/" if region.startswith("cn-") else "/")
