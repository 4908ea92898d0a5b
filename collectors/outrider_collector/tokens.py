"""Tokens: made by us, shown once, kept as a digest.

A token is `outr_ID_SECRET`. The secret is 256 bits of the system's randomness, so a plain SHA-256 is enough at rest:
a slow hash makes guessing dear where people chose the secret, here there is nothing to guess; and whoever may show a
token without knowing one could make us work by showing many. A token that was refused is named to who holds its secret
only; everybody else learns that it is bad.
"""

import hashlib
import hmac
import re
import secrets
from typing import Literal, get_args

from msgspec import Struct

from outrider_collector.identity.patterns import matches
from outrider_collector.identity.tasks import place_of_task
from outrider_wire.errors import WireError
from outrider_wire.findings import TaskView
from outrider_wire.timestamps import to_rfc3339

Kind = Literal["enrol", "read", "triage", "admin"]
"""What a token is for: enrolling agents; or asking, deciding, and changing what is decided by."""

KINDS: tuple[Kind, ...] = get_args(Kind)

SECRET_BYTES = 32
MAX_NAME_LENGTH = 200

_TOKEN = re.compile(r"outr_(?P<id>[0-9a-f]{16})_(?P<secret>[A-Za-z0-9_-]{43})\Z")
_NOBODY = bytes(32)


class Scope(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What tasks a token enrols agents of: patterns with `*`; an empty one fits all. `task` is for the whole ARN."""

    account: str = ""
    cluster: str = ""
    family: str = ""
    task: str = ""


class Token(Struct, frozen=True, kw_only=True):
    """A token as it is kept. Times are ns since the epoch; 0 is never. `max_uses` 0 is any number."""

    id: str
    kind: Kind
    digest: bytes
    name: str = ""
    scope: Scope = Scope()
    made_at_ns: int = 0
    made_by: str = ""
    expires_at_ns: int = 0
    max_uses: int = 0
    uses: int = 0
    last_used_ns: int = 0
    revoked_at_ns: int = 0
    revoked_by: str = ""


def make_token(
    kind: Kind,
    *,
    now_ns: int,
    name: str = "",
    scope: Scope | None = None,
    expires_at_ns: int = 0,
    max_uses: int = 0,
    made_by: str = "",
) -> tuple[str, Token]:
    """A new token: what its holder shows, and what is kept of it."""
    token, secret = secrets.token_hex(8), secrets.token_urlsafe(SECRET_BYTES)
    kept = Token(
        id=token,
        kind=kind,
        digest=_digest(secret),
        name=name[:MAX_NAME_LENGTH],
        scope=scope or Scope(),
        made_at_ns=now_ns,
        made_by=made_by[:MAX_NAME_LENGTH],
        expires_at_ns=expires_at_ns,
        max_uses=max_uses,
    )
    return f"outr_{token}_{secret}", kept


def token_id(shown: str) -> str:
    """The id in a token that was shown, or empty where it is none of ours."""
    found = _TOKEN.match(shown)
    return found["id"] if found else ""


def check_token(shown: str, kept: Token | None, kinds: tuple[Kind, ...], now_ns: int) -> Token:
    """Hold a token that was shown against what is kept under its id.

    Raises:
        WireError: `bad-token`; or, to who holds its secret, `token-revoked`, `token-expired`, `token-used-up`. Whether
            one for enrolling is used up is decided with the enrolment: an agent that is known uses nothing up.
    """
    found = _TOKEN.match(shown)
    digest = kept.digest if kept is not None else _NOBODY
    holds = hmac.compare_digest(_digest(found["secret"] if found else ""), digest)
    if not holds or found is None or kept is None or kept.id != found["id"] or kept.kind not in kinds:
        raise WireError("bad-token", "the token is none of this collector's")
    match _state(kept, now_ns):
        case "revoked":
            raise WireError("token-revoked", f"token {kept.id} was revoked")
        case "expired":
            raise WireError("token-expired", f"token {kept.id} has expired")
        case "used-up" if kept.kind != "enrol":
            raise used_up(kept.id)
    return kept


def used_up(token: str) -> WireError:
    """The refusal of a token that has enrolled as many agents as it may."""
    return WireError("token-used-up", f"token {token} has been used as often as it may")


def check_scope(token: Token, task: TaskView | None) -> None:
    """Hold a task against what a token is for. Raises WireError `token-scope`."""
    scope, arn = token.scope, task.arn if task else ""
    account, cluster = place_of_task(arn)
    cluster = cluster or (task.cluster.rpartition("/")[2] if task else "")
    for name, pattern, text in (
        ("account", scope.account, account),
        ("cluster", scope.cluster, cluster),
        ("family", scope.family, task.family if task else ""),
        ("task", scope.task, arn),
    ):
        if pattern and not (text and matches(pattern, text)):
            raise WireError("token-scope", f"token {token.id} is for {name} {pattern!r}, and this is {text[:200]!r}")


def read_scope(text: str) -> Scope:
    """A scope such as `family=web,cluster=prod`. Raises ValueError."""
    parts: dict[str, str] = {}
    for word in filter(None, text.split(",")):
        name, equals, pattern = word.partition("=")
        if name not in Scope.__struct_fields__ or not equals or not pattern or name in parts or len(pattern) > 2048:
            raise ValueError(f"{word!r} is not one of {', '.join(Scope.__struct_fields__)} with a pattern, once each")
        parts[name] = pattern
    return Scope(**parts)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(b"outrider token 1\0" + secret.encode("utf-8", "replace")).digest()


class TokenView(Struct, frozen=True, kw_only=True):
    """A token as it is shown to people: no digest, times as text, empty for never. `state` says whether it is good."""

    id: str
    kind: str
    name: str
    state: Literal["good", "revoked", "expired", "used-up"]
    scope: Scope
    made_at: str
    made_by: str
    expires_at: str
    uses: int
    max_uses: int
    last_used_at: str
    revoked_at: str
    revoked_by: str


def view_token(token: Token, now_ns: int) -> TokenView:
    """What may be shown of a token."""
    return TokenView(
        id=token.id,
        kind=token.kind,
        name=token.name,
        state=_state(token, now_ns),
        scope=token.scope,
        made_at=_when(token.made_at_ns),
        made_by=token.made_by,
        expires_at=_when(token.expires_at_ns),
        uses=token.uses,
        max_uses=token.max_uses,
        last_used_at=_when(token.last_used_ns),
        revoked_at=_when(token.revoked_at_ns),
        revoked_by=token.revoked_by,
    )


def _state(token: Token, now_ns: int) -> Literal["good", "revoked", "expired", "used-up"]:
    if token.revoked_at_ns:
        return "revoked"
    if token.expires_at_ns and now_ns >= token.expires_at_ns:
        return "expired"
    return "used-up" if token.max_uses and token.uses >= token.max_uses else "good"


def _when(at_ns: int) -> str:
    return to_rfc3339(at_ns) if at_ns else ""
