"""`outrider tokens`: make, list and revoke a collector's tokens, in its database."""

import argparse
import getpass
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.store.database import open_database, writing
from outrider_collector.store.tokens import list_tokens, revoke_token, save_token
from outrider_collector.tokens import KINDS, Scope, TokenView, make_token, read_scope, view_token
from outrider_wire.errors import ConfigError, Unavailable
from outrider_wire.timestamps import from_rfc3339

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"([0-9]{1,6})([mhdw])\Z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--data", metavar="DIR", help="the collector's data directory (OUTRIDER_COLLECTOR_DATA)")
    where.add_argument("--database", metavar="URL", help="its database, where that is elsewhere")
    where.add_argument("--json", action="store_true", help="one JSON object a line")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", parents=[where], help="make a token; it is shown this once")
    create.add_argument("--kind", choices=KINDS, default="enrol", help="what it is for (default: enrol)")
    create.add_argument("--name", default="", help="what you call it")
    create.add_argument(
        "--scope", default="", help="tasks it enrols: family=,cluster=,account=,task= with patterns, comma-separated"
    )
    create.add_argument("--expires", default="", metavar="90d|RFC3339", help="when it ends (default: never)")
    create.add_argument("--uses", type=int, default=0, metavar="N", help="how many agents it enrols (default: any)")
    listing = actions.add_parser("list", parents=[where], help="show the tokens there are")
    listing.add_argument("--kind", choices=KINDS, help="only these")
    revoke = actions.add_parser("revoke", parents=[where], help="make a token worthless")
    revoke.add_argument("token", metavar="ID")


def run(arguments: argparse.Namespace) -> int:
    with _database(arguments) as engine:
        match arguments.action:
            case "create":
                _create(engine, arguments)
            case "list":
                _list(engine, arguments)
            case "revoke":
                return _revoke(engine, arguments.token)
    return 0


def _create(engine: Engine, arguments: argparse.Namespace) -> None:
    now_ns = time.time_ns()
    if arguments.uses < 0:
        raise ConfigError("--uses must be 0 or more")
    shown, token = make_token(
        arguments.kind,
        now_ns=now_ns,
        name=arguments.name,
        scope=_scope(arguments),
        expires_at_ns=read_end(arguments.expires, now_ns),
        max_uses=arguments.uses,
        made_by=f"{getpass.getuser()} (outrider tokens)",
    )
    with writing(engine) as connection:
        save_token(connection, token)
    if arguments.json:
        facts = msgspec.to_builtins(view_token(token, now_ns)) | {"token": shown}
        print(msgspec.json.encode(facts).decode())
    else:
        print(f"token {token.id}; this is the only time it is shown:", file=sys.stderr)
        print(shown)


def _list(engine: Engine, arguments: argparse.Namespace) -> None:
    with engine.connect() as connection:
        views = [view_token(token, time.time_ns()) for token in list_tokens(connection, arguments.kind)]
    if arguments.json:
        for view in views:
            print(msgspec.json.encode(view).decode())
        return
    rows = [("ID", "KIND", "STATE", "USES", "EXPIRES", "LAST USED", "SCOPE", "NAME"), *map(_row, views)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _revoke(engine: Engine, token: str) -> int:
    with writing(engine) as connection:
        done = revoke_token(connection, token, now_ns=time.time_ns(), by=f"{getpass.getuser()} (outrider tokens)")
    if not done:
        raise ConfigError(f"there is no token {token!r} that could be revoked")
    return 0


def read_end(text: str, now_ns: int) -> int:
    """When a token ends, ns since the epoch, 0 for never: `90d`, `12h`, or a time. Raises ConfigError."""
    if not text:
        return 0
    if found := _LENGTH.match(text):
        return now_ns + int(found[1]) * _UNITS_S[found[2]] * 1_000_000_000
    try:
        return from_rfc3339(text)
    except ValueError as error:
        raise ConfigError(f"--expires {text!r} is neither a length (90d, 12h, 30m) nor a time: {error}") from error


def _scope(arguments: argparse.Namespace) -> Scope:
    if arguments.scope and arguments.kind != "enrol":
        raise ConfigError("--scope is for tokens that enrol")
    try:
        return read_scope(arguments.scope)
    except ValueError as error:
        raise ConfigError(f"--scope: {error}") from error


def _row(view: TokenView) -> tuple[str, ...]:
    scope = ",".join(f"{name}={value}" for name, value in msgspec.structs.asdict(view.scope).items() if value)
    uses = f"{view.uses}/{view.max_uses}" if view.max_uses else str(view.uses)
    name = "".join(c if c.isprintable() else "?" for c in view.name)
    return (view.id, view.kind, view.state, uses, view.expires_at or "never", view.last_used_at or "never", scope, name)


@contextmanager
def _database(arguments: argparse.Namespace) -> Iterator[Engine]:
    """The collector's database. Raises ConfigError, Unavailable."""
    url = arguments.database or os.environ.get("OUTRIDER_COLLECTOR_DATABASE", "")
    data = Path(arguments.data or os.environ.get("OUTRIDER_COLLECTOR_DATA") or "outrider-collector")
    path = data / "outrider.sqlite"
    if not url and arguments.action != "create" and not path.exists():
        raise ConfigError(f"there is no collector's database in {data}: give --data DIR, or --database URL")
    engine = open_database(url or path)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise Unavailable(f"the database refuses: {str(error)[:300]}") from error
    finally:
        engine.dispose()
