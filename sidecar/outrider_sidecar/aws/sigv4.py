"""Signing requests to AWS, Signature Version 4. Pure: time and keys come in as arguments.

The signature is an HMAC over a canonical form of the request: method, path without dot segments, sorted query, sorted
headers with their spaces folded, and the SHA-256 of the body. Whoever receives the request makes the same form of what
arrived. So a header that a proxy may change on the way is never signed. Paths are encoded once more than they travel,
as every service but S3 wants it. Source: AWS IAM User Guide, "Create a signed AWS API request".
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
_CHANGED_ON_THE_WAY: Final = frozenset(
    (
        *("connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"),
        *("transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id"),
    )
)
_OURS: Final = frozenset(("authorization", "date", "x-amz-date", "x-amz-security-token"))
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Credentials(Struct, frozen=True):
    """Keys of AWS. `token` is empty for those of a user; `expires_at_s` is since the epoch, 0 for never."""

    access_key: str
    secret_key: str
    token: str = ""
    expires_at_s: float = 0.0

    def __repr__(self) -> str:
        """No secret, for logs and tracebacks."""
        return f"Credentials({self.access_key!r}, expires_at_s={self.expires_at_s})"


class Request(Struct, frozen=True):
    """A request to be signed. `url` is as it travels: encoded, with its query."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = {}
    body: bytes = b""


def sign(request: Request, credentials: Credentials, *, region: str, service: str, at_s: float) -> dict[str, str]:
    """All headers to send: the request's own, and those that sign it. `at_s` is since the epoch.

    Raises ValueError for a header that signing itself sets.
    """
    if taken := _OURS & {name.lower() for name in request.headers}:
        raise ValueError(f"signing sets {', '.join(sorted(taken))}")
    at = datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = dict(request.headers) | {"X-Amz-Date": at}
    if credentials.token:
        headers["X-Amz-Security-Token"] = credentials.token
    canonical, signed = canonical_form(request, headers)
    scope = f"{at[:8]}/{region}/{service}/{TERMINATOR}"
    to_sign = "\n".join((ALGORITHM, at, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.new(_signing_key(credentials.secret_key, scope), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
    return headers


def canonical_form(request: Request, headers: Mapping[str, str]) -> tuple[str, str]:
    """The text that the signature is of, and the names of the headers in it, joined by semicolons."""
    parts = urlsplit(request.url)
    shown = {name.lower().strip(): " ".join(value.split()) for name, value in headers.items()}
    shown = {name: value for name, value in shown.items() if name not in _CHANGED_ON_THE_WAY}
    shown.setdefault("host", host_of(request.url))
    names = sorted(shown)
    signed = ";".join(names)
    lines = (
        request.method.upper(),
        quote(_without_dots(parts.path), safe="/~"),
        "&".join(f"{key}={value}" for key, value in sorted(_pairs(parts.query))),
        *(f"{name}:{shown[name]}" for name in names),
        "",
        signed,
        hashlib.sha256(request.body).hexdigest(),
    )
    return "\n".join(lines), signed


def host_of(url: str) -> str:
    """The Host header that an HTTP client sends: the port only where it is not the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def _signing_key(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for word in scope.split("/"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return key


def _pairs(query: str) -> list[tuple[str, str]]:
    parts = [pair.partition("=") for pair in query.split("&")] if query else []
    return [(key, value) for key, _, value in parts]


def _without_dots(path: str) -> str:
    """The path with `.`, `..` and empty parts resolved."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")
