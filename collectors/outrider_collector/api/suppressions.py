"""Suppression rules: made, listed, applied to what is there, taken away, and what they took given back."""

from typing import Annotated, Final

from msgspec import Meta, Struct
from sqlalchemy import Connection

from outrider_collector.api.operation import Call, Nothing, Operation
from outrider_collector.api.parameters import Number, Time, read_expiry
from outrider_collector.api.views import shown_time
from outrider_collector.store.suppressing import MAX_CONDITIONS, Condition, Suppression
from outrider_collector.store.suppressions import (
    MAX_WHY,
    add_suppression,
    apply_suppression,
    list_suppressions,
    load_suppression,
    release_suppression,
    remove_suppression,
)
from outrider_wire.errors import WireError
from outrider_wire.timestamps import to_rfc3339

APPLY_TIMEOUT_S: Final = 300.0
"""A rule may be held against a million findings."""


class NewSuppression(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule to be made: all conditions must hold. `expires_at` empty is never. Fields and operators: see the docs."""

    conditions: Annotated[list[Condition], Meta(min_length=1, max_length=MAX_CONDITIONS)]
    why: Annotated[str, Meta(min_length=1, max_length=MAX_WHY)]
    expires_at: Time = ""


class SuppressionView(Struct, frozen=True, kw_only=True):
    """A rule."""

    number: int
    who: str
    why: str
    made_at: str
    expires_at: str
    removed_at: str
    conditions: list[Condition]


class SuppressionsAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Those that hold, or those that were removed, too."""

    removed: bool = False


class SuppressionList(Struct, frozen=True):
    """Rules, the oldest first."""

    suppressions: list[SuppressionView]


class Done(Struct, frozen=True):
    """How many findings changed."""

    findings: int


def ask_suppressions(connection: Connection, call: Call[SuppressionsAsked, None]) -> SuppressionList:
    """The rules."""
    return SuppressionList([_view(rule) for rule in list_suppressions(connection, removed=call.query.removed)])


def ask_suppression(connection: Connection, call: Call[Nothing, None]) -> SuppressionView:
    """One rule."""
    return _view(_find(connection, call.key))


def add(connection: Connection, call: Call[Nothing, NewSuppression]) -> SuppressionView:
    """Make a rule."""
    expires_at_ns = read_expiry(call.body.expires_at, call.now_ns)
    try:
        made = add_suppression(
            connection,
            call.body.conditions,
            who=call.caller.name,
            why=call.body.why,
            at_ns=call.now_ns,
            expires_at_ns=expires_at_ns,
        )
    except ValueError as error:
        raise WireError("bad-request", str(error)) from error
    return _view(made)


def remove(connection: Connection, call: Call[Nothing, None]) -> SuppressionView:
    """Take a rule away; it may have been already."""
    before = _find(connection, call.key)
    remove_suppression(connection, before.number, who=call.caller.name, at_ns=call.now_ns)
    return _view(_find(connection, call.key))


def apply(call: Call[Nothing, None]) -> Done:
    """Suppress what is there already."""
    number = _number(call)
    return Done(apply_suppression(call.parts.engine, number, who=call.caller.name, at_ns=call.now_ns))


def release(call: Call[Nothing, None]) -> Done:
    """Give back what a rule took."""
    number = _number(call)
    return Done(release_suppression(call.parts.engine, number, who=call.caller.name, at_ns=call.now_ns))


def _number(call: Call[Nothing, None]) -> int:
    with call.parts.engine.connect() as connection:
        return _find(connection, call.key).number


def _find(connection: Connection, key: str) -> Suppression:
    found = load_suppression(connection, int(key))
    if found is None:
        raise WireError("not-found", f"there is no suppression rule {key}")
    return found


def _view(rule: Suppression) -> SuppressionView:
    return SuppressionView(
        number=rule.number,
        who=rule.who,
        why=rule.why,
        made_at=to_rfc3339(rule.made_at_ns),
        expires_at=shown_time(rule.expires_at_ns),
        removed_at=shown_time(rule.removed_at_ns),
        conditions=rule.conditions,
    )


_PATH: Final = "/v1/suppressions"

OPERATIONS: Final = (
    Operation(
        method="GET",
        path=_PATH,
        role="read",
        summary="Suppression rules",
        query=SuppressionsAsked,
        answer=SuppressionList,
        ask=ask_suppressions,
    ),
    Operation(
        method="GET",
        path=_PATH + "/{number}",
        role="read",
        summary="One suppression rule",
        key=Number,
        answer=SuppressionView,
        refusals=("not-found",),
        ask=ask_suppression,
    ),
    Operation(
        method="POST",
        path=_PATH,
        role="triage",
        summary="Make a suppression rule",
        body=NewSuppression,
        answer=SuppressionView,
        status=201,
        writes=True,
        ask=add,
    ),
    Operation(
        method="DELETE",
        path=_PATH + "/{number}",
        role="triage",
        summary="Take a suppression rule away",
        key=Number,
        answer=SuppressionView,
        writes=True,
        refusals=("not-found",),
        ask=remove,
    ),
    Operation(
        method="POST",
        path=_PATH + "/{number}/apply",
        role="triage",
        summary="Suppress the findings that a rule matches and that are there already",
        key=Number,
        answer=Done,
        timeout_s=APPLY_TIMEOUT_S,
        refusals=("not-found",),
        work=apply,
    ),
    Operation(
        method="POST",
        path=_PATH + "/{number}/release",
        role="triage",
        summary="Make the findings new again that a rule suppressed",
        key=Number,
        answer=Done,
        timeout_s=APPLY_TIMEOUT_S,
        refusals=("not-found",),
        work=release,
    ),
)
