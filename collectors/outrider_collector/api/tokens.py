"""Tokens: made, listed and revoked, those for enrolling and those of the API alike."""

from typing import Annotated, Final

from msgspec import Meta, Struct
from sqlalchemy import Connection

from outrider_collector.api.audited import write_audit
from outrider_collector.api.operation import Call, Nothing, Operation
from outrider_collector.api.parameters import Time, read_expiry
from outrider_collector.store.tokens import list_tokens, load_token, revoke_token, save_token
from outrider_collector.tokens import MAX_NAME_LENGTH, Kind, Scope, TokenView, make_token, view_token
from outrider_wire.errors import WireError

MAX_USES: Final = 1 << 40

TokenId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH, pattern=r"^[^\u0000]*$")]
Pattern = Annotated[str, Meta(max_length=512, pattern=r"^[^\u0000]*$")]


class ScopeAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """What tasks a token enrols agents of: patterns with `*`; an empty one fits all."""

    account: Pattern = ""
    cluster: Pattern = ""
    family: Pattern = ""
    task: Pattern = ""


class NewToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be made. `expires_at` empty is never; `max_uses` 0 any number; both, and `scope`, as `kind` has them.

    Scope and uses are for `enrol` alone.
    """

    kind: Kind
    name: Name
    scope: ScopeAsked = ScopeAsked()
    expires_at: Time = ""
    max_uses: Annotated[int, Meta(ge=0, le=MAX_USES)] = 0


class MadeToken(Struct, frozen=True):
    """A new token: `token` is shown this once."""

    token: str
    kept: TokenView


class TokensAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those of one kind, or all."""

    kind: Kind | None = None


class TokenList(Struct, frozen=True):
    """Tokens, the newest first."""

    tokens: list[TokenView]


def ask_tokens(connection: Connection, call: Call[TokensAsked, None]) -> TokenList:
    """The tokens."""
    return TokenList([view_token(each, call.now_ns) for each in list_tokens(connection, call.query.kind)])


def make(connection: Connection, call: Call[Nothing, NewToken]) -> MadeToken:
    """Make a token."""
    wanted = call.body
    scope = Scope(**{name: getattr(wanted.scope, name) for name in Scope.__struct_fields__})
    if wanted.kind != "enrol" and (scope != Scope() or wanted.max_uses):
        raise WireError("bad-request", "scope and uses are for tokens to enrol with")
    expires_at_ns = read_expiry(wanted.expires_at, call.now_ns)
    shown, kept = make_token(
        wanted.kind,
        now_ns=call.now_ns,
        name=wanted.name,
        scope=scope,
        expires_at_ns=expires_at_ns,
        max_uses=wanted.max_uses,
        made_by=call.caller.name,
    )
    save_token(connection, kept)
    write_audit(connection, call, "token.make", kept.id, after=view_token(kept, call.now_ns))
    return MadeToken(shown, view_token(kept, call.now_ns))


def revoke(connection: Connection, call: Call[Nothing, None]) -> TokenView:
    """Revoke a token; it may have been already."""
    before = load_token(connection, call.key)
    if before is None:
        raise WireError("not-found", f"there is no token {call.key}")
    if revoke_token(connection, call.key, now_ns=call.now_ns, by=call.caller.name):
        write_audit(connection, call, "token.revoke", call.key, before=view_token(before, call.now_ns))
    after = load_token(connection, call.key)
    return view_token(after or before, call.now_ns)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/tokens",
        role="admin",
        summary="Tokens, without their secrets",
        query=TokensAsked,
        answer=TokenList,
        ask=ask_tokens,
    ),
    Operation(
        method="POST",
        path="/v1/tokens",
        role="admin",
        summary="Make a token, shown this once",
        body=NewToken,
        answer=MadeToken,
        status=201,
        writes=True,
        ask=make,
    ),
    Operation(
        method="DELETE",
        path="/v1/tokens/{id}",
        role="admin",
        summary="Revoke a token",
        key=TokenId,
        answer=TokenView,
        writes=True,
        refusals=("not-found",),
        ask=revoke,
    ),
)
