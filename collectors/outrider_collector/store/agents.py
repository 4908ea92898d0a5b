"""Agents in the store: their keys, where their chains stand, and when they were last heard."""

from typing import Final, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, RowMapping, and_, func, select

from outrider_collector.store.database import upsert
from outrider_collector.store.tables import LONGEST, agents
from outrider_collector.store.texts import column
from outrider_wire.batch import FIRST_PREVIOUS, SenseView
from outrider_wire.findings import TaskView

MAX_SEQUENCE = (1 << 63) - 1
REMAINDERS: Final = (1 << 31) - 1

Status = Literal["live", "succeeded", "quarantined"]
"""live: the task's one key. succeeded: its successor enrolled. quarantined: a second key; its batches are refused."""


class AgentFacts(Struct, frozen=True):
    """What an agent told of itself in its last batch, and what it lost in all.

    `sealed_at_ns` is when it sealed that batch, by its own clock; `ahead_s` how far that clock was said to be ahead.
    """

    capabilities: tuple[SenseView, ...] = ()
    software: str = ""
    unguarded_for_ms: int = 0
    lost: dict[str, int] = {}
    sealed_at_ns: int = 0
    ahead_s: int = 0


class Agent(Struct, frozen=True, kw_only=True):
    """One agent as the collector knows it. `next_sequence` is one more than the highest batch accepted.

    `changed_at_ns` is when its key or its status changed last. Batches under `forgotten_before` were too old to keep.
    """

    agent: str
    public_key: bytes
    resume_public_key: bytes
    status: Status
    task: TaskView | None
    made_at_ns: int
    enrolled_at_ns: int
    seen_at_ns: int
    changed_at_ns: int = 0
    interval_s: float = 10.0
    next_sequence: int = 0
    forgotten_before: int = 0
    last_digest: bytes = FIRST_PREVIOUS
    said_goodbye: bool = False
    told_silent: bool = False
    successor: str = ""
    facts: AgentFacts = AgentFacts()

    @property
    def task_arn(self) -> str:
        """The task's ARN, or empty."""
        return self.task.arn if self.task else ""


class AgentKey(Struct, frozen=True):
    """What is to be known of an agent to believe its signature."""

    agent: str
    public_key: bytes
    status: Status
    changed_at_ns: int


def load_agent(connection: Connection, agent: str) -> Agent | None:
    """One agent, or None."""
    row = connection.execute(select(agents).where(agents.c.agent == agent)).mappings().first()
    return _agent(row) if row else None


def load_agents(connection: Connection, wanted: list[str]) -> dict[str, Agent]:
    """Agents by name."""
    query = select(agents).where(agents.c.agent.in_(wanted))
    return {row["agent"]: _agent(row) for row in connection.execute(query).mappings()}


def lock_agents(connection: Connection, wanted: list[str]) -> dict[str, Agent]:
    """Agents by name, as nobody else changes them until this transaction ends."""
    query = select(agents).where(agents.c.agent.in_(wanted)).order_by(agents.c.agent).with_for_update()
    return {row["agent"]: _agent(row) for row in connection.execute(query).mappings()}


def load_keys_since(connection: Connection, since_ns: int, *, limit: int) -> list[AgentKey]:
    """Keys of agents whose key or status changed at or after a time, the newest first."""
    changed = select(*(agents.c[name] for name in AgentKey.__struct_fields__)).where(agents.c.changed_at_ns >= since_ns)
    query = changed.order_by(agents.c.changed_at_ns.desc()).limit(limit)
    return [AgentKey(*row) for row in connection.execute(query)]


def changes_since(connection: Connection, since_ns: int) -> tuple[int, int]:
    """A number that is another whenever an agent's key or status changed at or after a time: it needs the index alone.

    It is of two parts: how many changed, and the sum of what is left of their times by a prime, which no number of
    agents makes too large.
    """
    times = func.count(), func.coalesce(func.sum(agents.c.changed_at_ns % REMAINDERS), 0)
    count, total = connection.execute(select(*times).where(agents.c.changed_at_ns >= since_ns)).one()
    return count, int(total)


def lock_unheard(connection: Connection, now_ns: int, intervals: float) -> list[Agent]:
    """Live agents not heard for so many of their intervals that neither said good-bye nor were told of.

    Locked as by `lock_agents`; one that another transaction holds is being heard, or told of, and left out.
    """
    waiting = and_(
        agents.c.status == "live",
        agents.c.said_goodbye.is_(False),
        agents.c.told_silent.is_(False),
        agents.c.seen_at_ns < now_ns - agents.c.interval_s * int(intervals * 1_000_000_000),
    )
    query = select(agents).where(waiting).order_by(agents.c.agent).with_for_update(skip_locked=True)
    return [_agent(row) for row in connection.execute(query).mappings()]


def list_agents(connection: Connection, limit: int) -> list[Agent]:
    """Agents, the last heard first."""
    query = select(agents).order_by(agents.c.seen_at_ns.desc(), agents.c.agent).limit(limit)
    return [_agent(row) for row in connection.execute(query).mappings()]


def save_agents(connection: Connection, changed: list[Agent]) -> None:
    """Write agents as they are now, in this order: there is one live key of a task at any time. Raises IntegrityError.

    Whoever changes agents has locked them.
    """
    upsert(connection, agents, [_row(agent) for agent in changed])


def _row(agent: Agent) -> dict[str, object]:
    row = {name: getattr(agent, name) for name in agent.__struct_fields__}
    return row | {
        "next_sequence": min(agent.next_sequence, MAX_SEQUENCE),
        "task": msgspec.json.encode(agent.task),
        "task_arn": column(agent.task_arn, LONGEST),
        "facts": msgspec.json.encode(agent.facts),
    }


def _agent(row: RowMapping) -> Agent:
    values = {name: row[name] for name in Agent.__struct_fields__}
    values["task"] = msgspec.json.decode(row["task"], type=TaskView | None)
    values["facts"] = msgspec.json.decode(row["facts"], type=AgentFacts)
    return Agent(**values)
