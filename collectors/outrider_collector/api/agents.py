"""Agents: who guards what, what they see and lost, who fell silent, and whose key is in doubt."""

from typing import Annotated, Final

from msgspec import Meta, Struct
from sqlalchemy import Connection

from outrider_collector.api.audited import write_audit
from outrider_collector.api.cursors import read_cursor, write_cursor
from outrider_collector.api.operation import Call, Nothing, Operation
from outrider_collector.api.parameters import Cursor, Limit, Text
from outrider_collector.enrolling import adopt
from outrider_collector.store.agents import load_agent
from outrider_collector.store.coverage import (
    AgentFilter,
    Coverage,
    KnownAgent,
    Standing,
    page_agents,
    sum_coverage,
)
from outrider_collector.store.enrolments import load_enrolments
from outrider_collector.store.stored import MAX_NS
from outrider_collector.views import AgentView, view_agent
from outrider_wire.errors import WireError

AgentId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]


class AgentsAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of agents: of one standing, of tasks whose ARN begins so, only contested ones."""

    standing: Standing | None = None
    task: Text = ""
    contested: bool = False
    limit: Limit = 100
    cursor: Cursor = ""


class AgentsPage(Struct, frozen=True):
    """Agents, the last heard first; `next` is the cursor of the page after it, empty at the end."""

    agents: list[AgentView]
    next: str


def ask_agents(connection: Connection, call: Call[AgentsAsked, None]) -> AgentsPage:
    """A page of agents."""
    asked = call.query
    wanted = AgentFilter(standing=asked.standing, task=asked.task, contested=asked.contested)
    found = page_agents(connection, wanted, limit=asked.limit, after=_place(asked.cursor))
    last = found[-1].agent if found else None
    more = write_cursor((last.seen_at_ns, last.agent)) if last and len(found) == asked.limit else ""
    return AgentsPage([view_agent(each.agent, each.enrolment) for each in found], more)


def ask_agent(connection: Connection, call: Call[Nothing, None]) -> AgentView:
    """One agent."""
    known = _known(connection, call.key)
    return view_agent(known.agent, known.enrolment)


def ask_coverage(connection: Connection, call: Call[Nothing, None]) -> Coverage:
    """All agents together."""
    del call
    return sum_coverage(connection)


def adopt_key(connection: Connection, call: Call[Nothing, None]) -> AgentView:
    """Say which key is the real one."""
    before = _known(connection, call.key)
    changed = adopt(connection, call.key, call.now_ns)
    if changed is None:
        raise WireError("not-found", f"agent {call.key} never asked to enrol here")
    call.parts.intake.keys.learn(changed)
    after = _known(connection, call.key)
    shown = view_agent(after.agent, after.enrolment)
    write_audit(
        connection,
        call,
        "agent.adopt",
        call.key,
        before=view_agent(before.agent, before.enrolment),
        after=[view_agent(each) for each in changed] or shown,
    )
    return shown


def _known(connection: Connection, name: str) -> KnownAgent:
    agent = load_agent(connection, name)
    if agent is None:
        raise WireError("not-found", f"there is no agent {name}")
    return KnownAgent(agent, load_enrolments(connection, [name]).get(name))


def _place(cursor: str) -> tuple[int, str] | None:
    if not cursor:
        return None
    seen_ns, name = read_cursor(cursor, tuple[int, str])
    if not 0 <= seen_ns <= MAX_NS or "\0" in name:
        raise WireError("bad-request", "this cursor is none of ours")
    return seen_ns, name


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/agents",
        role="read",
        summary="Agents, the last heard first",
        query=AgentsAsked,
        answer=AgentsPage,
        ask=ask_agents,
    ),
    Operation(
        method="GET",
        path="/v1/agents/{agent}",
        role="read",
        summary="One agent",
        key=AgentId,
        answer=AgentView,
        refusals=("not-found",),
        ask=ask_agent,
    ),
    Operation(
        method="POST",
        path="/v1/agents/{agent}/adopt",
        role="admin",
        summary="Make a contested or quarantined key the live one of what it speaks for",
        key=AgentId,
        answer=AgentView,
        writes=True,
        refusals=("not-found",),
        ask=adopt_key,
    ),
    Operation(
        method="GET",
        path="/v1/coverage",
        role="read",
        summary="How many agents stand how, what they see together, and what they lost",
        answer=Coverage,
        ask=ask_coverage,
    ),
)
