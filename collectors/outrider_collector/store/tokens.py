"""Tokens in the store: their digests, what they are for, and how often they were used."""

import msgspec
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, RowMapping, String, Table, Text, select, update

from outrider_collector.store.tables import metadata
from outrider_collector.tokens import Kind, Scope, Token

MAX_LISTED = 10_000

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("made_at_ns", BigInteger, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("expires_at_ns", BigInteger, nullable=False),
    Column("max_uses", BigInteger, nullable=False),
    Column("uses", BigInteger, nullable=False),
    Column("last_used_ns", BigInteger, nullable=False),
    Column("revoked_at_ns", BigInteger, nullable=False),
    Column("revoked_by", Text, nullable=False),
)


def save_token(connection: Connection, token: Token) -> None:
    """Keep a new token."""
    row = {name: getattr(token, name) for name in token.__struct_fields__}
    connection.execute(tokens.insert(), [row | {"scope": msgspec.json.encode(token.scope).decode()}])


def load_token(connection: Connection, token: str) -> Token | None:
    """The token of an id, or None."""
    row = connection.execute(select(tokens).where(tokens.c.id == token)).mappings().first()
    return _token(row) if row else None


def list_tokens(connection: Connection, kind: Kind | None = None) -> list[Token]:
    """Tokens, the newest first; those of one kind where it is given."""
    query = select(tokens).order_by(tokens.c.made_at_ns.desc(), tokens.c.id).limit(MAX_LISTED)
    if kind is not None:
        query = query.where(tokens.c.kind == kind)
    return [_token(row) for row in connection.execute(query).mappings()]


def any_token(connection: Connection, kinds: tuple[Kind, ...]) -> bool:
    """Whether a token of these kinds was ever made."""
    return connection.execute(select(tokens.c.id).where(tokens.c.kind.in_(kinds)).limit(1)).first() is not None


def revoke_token(connection: Connection, token: str, *, now_ns: int, by: str = "") -> bool:
    """Revoke a token; whether there is one that was not revoked before."""
    change = update(tokens).where(tokens.c.id == token, tokens.c.revoked_at_ns == 0)
    return bool(connection.execute(change.values(revoked_at_ns=now_ns, revoked_by=by[:200])).rowcount)


def spend_token(connection: Connection, token: str, *, now_ns: int) -> bool:
    """Count one more use; whether it had one left, was not revoked and has not expired. Several may spend at once."""
    free = (tokens.c.max_uses == 0) | (tokens.c.uses < tokens.c.max_uses)
    lives = (tokens.c.expires_at_ns == 0) | (tokens.c.expires_at_ns > now_ns)
    change = update(tokens).where(tokens.c.id == token, tokens.c.revoked_at_ns == 0, free, lives)
    return bool(connection.execute(change.values(uses=tokens.c.uses + 1, last_used_ns=now_ns)).rowcount)


def note_use(connection: Connection, token: str, *, now_ns: int) -> None:
    """Note when a token was used last, without counting."""
    connection.execute(update(tokens).where(tokens.c.id == token).values(last_used_ns=now_ns))


def _token(row: RowMapping) -> Token:
    values = {name: row[name] for name in Token.__struct_fields__}
    values["scope"] = msgspec.json.decode(row["scope"], type=Scope)
    return Token(**values)
