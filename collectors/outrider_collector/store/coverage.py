"""Who guards what: agents page by page with how they enrolled, and what all of them together see and lost."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Select, and_, case, func, or_, select

from outrider_collector.store.agents import Agent, AgentFacts, load_agents
from outrider_collector.store.enrolments import Enrolment, enrolments, load_enrolments
from outrider_collector.store.tables import LONGEST, agents
from outrider_collector.store.texts import column

MAX_SUMMED: Final = 50_000
"""Most live agents whose senses and losses are added up, the last heard first."""
CHUNK: Final = 500
MAX_SENSES: Final = 64
MAX_REASONS: Final = 1000
SHOWN_REASONS: Final = 5

Standing = Literal["live", "silent", "ended", "succeeded", "quarantined"]
"""live: heard as promised. silent: told of. ended: it said good-bye. The other two are as in `Status`."""


class AgentFilter(Struct, frozen=True, kw_only=True):
    """Which agents: all that is given must hold. `task` is the beginning of an ARN."""

    standing: Standing | None = None
    task: str = ""
    contested: bool = False


class KnownAgent(Struct, frozen=True):
    """An agent, and how it came to be known."""

    agent: Agent
    enrolment: Enrolment | None


class SenseSum(Struct, frozen=True, kw_only=True):
    """One sense of all live agents: how many have it, how many have not, and the most frequent reasons."""

    sense: str
    seeing: int
    blind: int
    reasons: dict[str, int]


class Coverage(Struct, frozen=True, kw_only=True):
    """All agents together. `lost` is how many records live agents lost, by sense; `agents` how many stand how."""

    agents: dict[str, int]
    contested: int
    tasks: int
    senses: list[SenseSum]
    lost: dict[str, int]


_STANDING: Final = case(
    (agents.c.status != "live", agents.c.status),
    (agents.c.said_goodbye, "ended"),
    (agents.c.told_silent, "silent"),
    else_="live",
)


def standing_of(agent: Agent) -> Standing:
    """How an agent stands."""
    if agent.status != "live":
        return agent.status
    return "ended" if agent.said_goodbye else "silent" if agent.told_silent else "live"


def page_agents(
    connection: Connection, given: AgentFilter, *, limit: int, after: tuple[int, str] | None = None
) -> list[KnownAgent]:
    """Agents, the last heard first; `after` is when the last one of the page before was heard, and its name."""
    wanted = _filtered(given).order_by(agents.c.seen_at_ns.desc(), agents.c.agent).limit(limit)
    if after is not None:
        seen_ns, name = after
        later = and_(agents.c.seen_at_ns == seen_ns, agents.c.agent > name)
        wanted = wanted.where(or_(agents.c.seen_at_ns < seen_ns, later))
    names: list[str] = list(connection.execute(wanted).scalars())
    found, how = load_agents(connection, names), load_enrolments(connection, names)
    return [KnownAgent(found[name], how.get(name)) for name in names if name in found]


def _filtered(given: AgentFilter) -> "Select[str]":
    wanted = select(agents.c.agent)
    if given.standing is not None:
        wanted = wanted.where(_STANDING.in_([given.standing]))
    if given.task:
        wanted = wanted.where(agents.c.task_arn.startswith(column(given.task, LONGEST), autoescape=True))
    if given.contested:
        wanted = wanted.join(enrolments, enrolments.c.agent == agents.c.agent).where(enrolments.c.contested)
    return wanted


def count_agents(connection: Connection) -> dict[str, int]:
    """How many agents stand how."""
    rows = connection.execute(select(_STANDING, func.count()).group_by(_STANDING))
    return {row[0]: row[1] for row in rows.all()}


def sum_coverage(connection: Connection) -> Coverage:
    """What all agents see together."""
    live = and_(agents.c.status == "live", agents.c.said_goodbye.is_(False))
    contested = select(func.count()).select_from(enrolments).where(enrolments.c.contested)
    tasks = select(func.count(agents.c.task_arn.distinct())).where(live, agents.c.task_arn != "")
    newest = select(agents.c.facts).where(live).order_by(agents.c.seen_at_ns.desc()).limit(MAX_SUMMED)
    senses, lost = _sum_facts(row[0] for row in connection.execute(newest.execution_options(yield_per=CHUNK)))
    return Coverage(
        agents=count_agents(connection),
        contested=connection.execute(contested).scalar_one(),
        tasks=connection.execute(tasks).scalar_one(),
        senses=senses,
        lost=lost,
    )


def _sum_facts(rows: Iterable[bytes]) -> tuple[list[SenseSum], dict[str, int]]:
    decode = msgspec.json.Decoder(AgentFacts).decode
    seeing: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    lost: Counter[str] = Counter()
    for raw in rows:
        facts = decode(raw)
        lost.update(facts.lost)
        for view in facts.capabilities[:MAX_SENSES]:
            sense = view.sense[:64] if view.sense[:64] in reasons or len(reasons) < MAX_SENSES else "other"
            why = reasons.setdefault(sense, Counter())
            if view.available:
                seeing[sense] += 1
            else:
                why[view.reason[:200] if view.reason[:200] in why or len(why) < MAX_REASONS else "other"] += 1
    return [
        SenseSum(sense=each, seeing=seeing[each], blind=why.total(), reasons=dict(why.most_common(SHOWN_REASONS)))
        for each, why in sorted(reasons.items())
    ], dict(lost)
