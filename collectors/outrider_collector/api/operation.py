"""An operation: one line of the table of routes, and what its function is given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar, get_args

from msgspec import Struct
from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import Response

from outrider_collector.api.counters import Counters
from outrider_collector.intake import Intake
from outrider_collector.settings import Settings
from outrider_collector.spool import Spool

Role = Literal["read", "triage", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""Each may do all that those before it may."""

Query = TypeVar("Query")
Body = TypeVar("Body")


class Caller(Struct, frozen=True):
    """Who asks: the name that the audit log knows them by, and what they may do."""

    name: str
    role: Role


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the collector the API stands on."""

    intake: Intake
    spool: Spool
    engine: Engine
    settings: Settings
    counters: Counters
    collector: str
    clock_ns: Callable[[], int]
    stopping: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Call(Generic[Query, Body]):
    """One request, read and allowed. `key` is what stands in the path's braces."""

    parts: Parts
    caller: Caller
    key: str
    query: Query
    body: Body
    now_ns: int


Ask = Callable[[Connection, Call[Any, Any]], object]
"""Answers inside a transaction, in a thread. Raises WireError for what it refuses."""

Work = Callable[[Call[Any, Any]], object]
"""Answers in a thread, in transactions of its own."""

Serve = Callable[[Request, Parts], Awaitable[Response]]
"""Answers by itself, on the event loop."""


class Operation(Struct, frozen=True, kw_only=True):
    """One line. Without a `role` anybody may ask. One of `ask`, `work` and `serve` is its function.

    `key` is the type of what stands in the path's braces, `query` and `body` the structs that parameters and JSON are
    read into, `answer` what comes back. `writes`: its transaction may. `media` is set where the answer is no JSON,
    `consumes` where the body is none. `refusals` are its own codes beside those that follow from its shape.
    `timeout_s` is set where it may take longer than others.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    role: Role | None
    summary: str
    answer: Any
    key: Any = None
    query: type[Struct] = Nothing
    body: type[Struct] | None = None
    consumes: str = "application/json"
    media: str = "application/json"
    status: int = 200
    writes: bool = False
    refusals: tuple[str, ...] = ()
    timeout_s: float = 0.0
    ask: Ask | None = None
    work: Work | None = None
    serve: Serve | None = None

    @property
    def name(self) -> str:
        """Such as `get_v1_findings_id`: the operation's id in the OpenAPI document and in metrics."""
        words = self.path.replace("{", "").replace("}", "").replace(".", "_").strip("/").split("/")
        return "_".join((self.method.lower(), *words))


def may(role: Role, needed: Role) -> bool:
    """Whether who has `role` may do what takes `needed`."""
    return ROLES.index(role) >= ROLES.index(needed)
