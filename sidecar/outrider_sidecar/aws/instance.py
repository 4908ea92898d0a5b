"""What the EC2 instance metadata service, version 2, tells of the instance; version 1 is never used."""

from outrider_sidecar.asking import ask
from outrider_sidecar.aws.credentials import INSTANCE_METADATA, MAX_BYTES, TIMEOUT_S, TOKEN_TTL_S
from outrider_wire.errors import Unavailable

REMEDY = "set AWS_REGION"


def fetch_region(base: str = INSTANCE_METADATA) -> str:
    """The region that the instance is in. Raises Unavailable."""
    what = "the instance metadata service"
    wanted = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)}
    token = _text(base + "/latest/api/token", what, method="PUT", headers=wanted)
    return _text(base + "/latest/meta-data/placement/region", what, headers={"X-aws-ec2-metadata-token": token})


def _text(url: str, what: str, *, method: str = "GET", headers: dict[str, str]) -> str:
    answer = ask(url, what=what, method=method, headers=headers, timeout_s=TIMEOUT_S, max_bytes=MAX_BYTES)
    text = answer.body.decode("ascii", "replace").strip()
    if answer.status != 200 or not text.isprintable() or not text.isascii() or not text:
        raise Unavailable(f"{what} at {url} answered {answer.status}", REMEDY)
    return text
