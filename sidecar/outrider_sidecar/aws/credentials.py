"""Where the guard's own AWS credentials come from: the environment, ECS, or the EC2 instance, in that order.

- AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with AWS_SESSION_TOKEN;
- in a task, the endpoint 169.254.170.2 that ECS names by AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, or the address of
  AWS_CONTAINER_CREDENTIALS_FULL_URI, which is taken from https or a link-local or loopback address alone;
- on an instance, the instance metadata service, version 2: a token by PUT, then the role, then its keys. Version 1 is
  never used.

Credentials are fetched again before they expire; while that fails, the old ones serve until they do.
"""

import ipaddress
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from outrider_sidecar.asking import Answer, ask
from outrider_sidecar.aws.sigv4 import Credentials
from outrider_wire.errors import Unavailable
from outrider_wire.timestamps import from_rfc3339

ECS_ENDPOINT: Final = "http://169.254.170.2"
INSTANCE_METADATA: Final = "http://169.254.169.254"
REFRESH_BEFORE_S: Final = 300.0
"""So long before they expire credentials are fetched again; AWS's are good for an hour or more."""
TIMEOUT_S: Final = 2.0
TOKEN_TTL_S: Final = 60
MAX_BYTES: Final = 64 * 1024
REMEDY: Final = "give the task or the instance an IAM role"
_ALLOWED_HOSTS: Final = frozenset(("169.254.170.2", "169.254.170.23", "fd00:ec2::23"))


class CredentialSource:
    """Keeps credentials that are good for a while yet. Safe from any thread; asking may take seconds."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        ecs_endpoint: str = ECS_ENDPOINT,
        instance_metadata: str = INSTANCE_METADATA,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._environ = environ
        self._ecs_endpoint = ecs_endpoint
        self._instance_metadata = instance_metadata
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: Credentials | None = None

    def get(self) -> Credentials:
        """Credentials that are good now. Raises Unavailable."""
        with self._lock:
            kept, now_s = self._kept, self._clock()
            if kept is not None and (not kept.expires_at_s or now_s < kept.expires_at_s - REFRESH_BEFORE_S):
                return kept
            try:
                self._kept = self._fetch()
            except Unavailable:
                if kept is None or now_s >= kept.expires_at_s:
                    raise
            assert self._kept is not None
            return self._kept

    def _fetch(self) -> Credentials:
        environ = self._environ
        if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
            keys = environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"]
            return Credentials(*keys, environ.get("AWS_SESSION_TOKEN", ""))
        if relative := environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            return _read("ECS's credentials endpoint", self._ecs_endpoint + relative)
        if full := environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            _check_full(full)
            return _read("the credentials endpoint", full, headers=_authorization(environ))
        if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise Unavailable("no AWS credentials: none in the environment, no task role, no instance metadata", REMEDY)
        return self._of_instance()

    def _of_instance(self) -> Credentials:
        what, base = "the instance metadata service", self._instance_metadata + "/latest"
        wanted = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)}
        token = _text(_asked(what, base + "/api/token", method="PUT", headers=wanted))
        headers = {"X-aws-ec2-metadata-token": token}
        roles = base + "/meta-data/iam/security-credentials/"
        role = _text(_asked(what, roles, headers=headers)).strip().partition("\n")[0]
        if not role:
            raise Unavailable(f"{what} names no role", REMEDY)
        return _read(what, roles + quote(role, safe=""), headers=headers)


def parse_credentials(raw: bytes) -> Credentials:
    """The JSON of ECS's endpoint and of the instance's. Raises ValueError for anything else."""
    try:
        document = json.loads(raw.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(document, dict):
        raise ValueError("not an object")
    if document.get("Code", "Success") != "Success":
        raise ValueError(f"it answered {str(document['Code'])[:100]}")
    keys = [_field(document, name) for name in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")]
    if not all(keys[:2]):
        raise ValueError("no keys in it")
    return Credentials(keys[0], keys[1], keys[2], from_rfc3339(keys[3]) / 1e9 if keys[3] else 0.0)


def _field(document: dict[str, Any], name: str) -> str:
    """A field that can stand in a header: printable ASCII. Raises ValueError."""
    value = document.get(name) or ""
    if not isinstance(value, str) or not value.isascii() or not (value.isprintable()):
        raise ValueError(f"{name} is no plain text")
    return value


def _read(what: str, url: str, *, headers: Mapping[str, str] | None = None) -> Credentials:
    try:
        return parse_credentials(_asked(what, url, headers=headers).body)
    except ValueError as error:
        raise Unavailable(f"{what} at {url}: {error}", REMEDY) from error


def _asked(what: str, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
    answer = ask(url, what=what, method=method, headers=headers, timeout_s=TIMEOUT_S, max_bytes=MAX_BYTES)
    if answer.status != 200:
        raise Unavailable(f"{what} at {url} answered {answer.status}", REMEDY)
    return answer


def _text(answer: Answer) -> str:
    text = answer.body.decode("ascii", "replace")
    if not all(c.isprintable() or c == "\n" for c in text):
        raise Unavailable("the instance metadata service answered with what is no text")
    return text


def _check_full(url: str) -> None:
    """Plain http is taken from where no other machine listens. Raises Unavailable."""
    try:
        parts = urlsplit(url)
        address = ipaddress.ip_address(parts.hostname or "")
        near = address.is_loopback or str(address) in _ALLOWED_HOSTS
    except ValueError:
        near = False
    if not url.startswith("https://") and not near:
        raise Unavailable(f"AWS_CONTAINER_CREDENTIALS_FULL_URI {url!r} is neither https nor an address of this machine")


def _authorization(environ: Mapping[str, str]) -> dict[str, str]:
    """The token that the endpoint wants, from its file where one is named. Raises Unavailable."""
    token = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if path := environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
        try:
            token = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE {path}: {error}") from error
    return {"Authorization": token} if token else {}
