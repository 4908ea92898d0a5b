"""Access: whose token this is, and what its holder may do.

Tokens are made with `outrider tokens` or through the API and kept as digests (`tokens.py`); what is written there of
revocation and expiry counts from the next request on. Beside them two may be configured: `admin_token`, to begin with,
and `read_token`. The bootstrap token lies with every sidecar, so it reads nothing once there is any other way to; where
there is none, in a lab or on a first day, it may read.
"""

import contextlib
import hashlib
import hmac
import threading
from collections import OrderedDict
from typing import Final, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.api.operation import ROLES, Caller, Role, may
from outrider_collector.settings import Settings
from outrider_collector.store.database import writing
from outrider_collector.store.reading import reading
from outrider_collector.store.tokens import any_token, load_token, note_use
from outrider_collector.tokens import Kind, check_token, token_id
from outrider_wire.errors import WireError

API_KINDS: Final[tuple[Kind, ...]] = ROLES

NOTED_EVERY_NS: Final = 60_000_000_000
"""A token's last use is noted no more often."""

MAX_NOTED: Final = 10_000


class Access:
    """Checks tokens. Safe from any thread; it asks the database."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._engine = engine
        named: tuple[tuple[str, str, Role], ...] = (
            (settings.admin_token, "the configured admin token", "admin"),
            (settings.read_token, "the configured read token", "read"),
        )
        self._configured = [(_hash(token), Caller(name, role)) for token, name, role in named if token]
        self._bootstrap = _hash(settings.token) if settings.token and not self._configured else None
        self._noted_ns: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, authorization: str, needed: Role, now_ns: int) -> Caller:
        """The caller behind an Authorization header.

        Raises:
            WireError: `unauthorized`, `forbidden`, or `token-revoked` and `token-expired` to who holds the secret.
        """
        scheme, _, shown = authorization.partition(" ")
        shown = shown.strip()
        if scheme.lower() != "bearer" or not shown:
            raise WireError("unauthorized", "this takes a token: Authorization: Bearer …")
        caller = self._find(shown, now_ns)
        if not may(caller.role, needed):
            raise WireError("forbidden", f"this takes the role {needed}; the token's is {caller.role}")
        return caller

    def _find(self, shown: str, now_ns: int) -> Caller:
        digest = _hash(shown)
        for known, caller in self._configured:
            if hmac.compare_digest(digest, known):
                return caller
        with reading(self._engine) as connection:
            if self._bootstrap is not None and hmac.compare_digest(digest, self._bootstrap):
                return _by_bootstrap(connection)
            found = token_id(shown)
            kept = load_token(connection, found) if found else None
        try:
            token = check_token(shown, kept, API_KINDS, now_ns)
        except WireError as error:
            raise WireError("unauthorized", error.detail) if error.code == "bad-token" else error from None
        self._note(token.id, now_ns)
        return Caller(f"{token.name} ({token.id})" if token.name else token.id, cast(Role, token.kind))

    def _note(self, token: str, now_ns: int) -> None:
        with self._lock:
            if now_ns - self._noted_ns.get(token, 0) < NOTED_EVERY_NS:
                return
            self._noted_ns[token] = now_ns
            if len(self._noted_ns) > MAX_NOTED:
                self._noted_ns.popitem(last=False)
        with contextlib.suppress(SQLAlchemyError), writing(self._engine) as connection:  # nobody is refused for it
            note_use(connection, token, now_ns=now_ns)


def _by_bootstrap(connection: Connection) -> Caller:
    if any_token(connection, API_KINDS):
        raise WireError("unauthorized", "the bootstrap token enrols agents; findings are shown to other tokens")
    return Caller("the bootstrap token", "read")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
