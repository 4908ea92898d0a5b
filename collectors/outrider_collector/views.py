"""Agents as they are shown to readers: no keys, times as text."""

from msgspec import Struct

from outrider_collector.store.agents import Agent, AgentFacts
from outrider_collector.store.enrolments import Enrolment
from outrider_wire.findings import TaskView
from outrider_wire.timestamps import to_rfc3339


class AgentView(Struct, frozen=True, kw_only=True):
    """One agent. `batches` is one more than the highest batch number accepted. `silent`: it was told of.

    `proofs` are what it enrolled by and `identity` the ARN it proved; `contested`: another key proved as much.
    """

    agent: str
    status: str
    task: TaskView | None
    enrolled_at: str
    seen_at: str
    interval_s: float
    batches: int
    said_goodbye: bool
    silent: bool
    successor: str
    facts: AgentFacts
    proofs: str = ""
    identity: str = ""
    subject: str = ""
    contested: bool = False


def view_agent(agent: Agent, enrolment: Enrolment | None = None) -> AgentView:
    """What a reader may see of an agent."""
    how = enrolment or Enrolment(agent=agent.agent)
    return AgentView(
        agent=agent.agent,
        status=agent.status,
        task=agent.task,
        enrolled_at=to_rfc3339(agent.enrolled_at_ns),
        seen_at=to_rfc3339(agent.seen_at_ns),
        interval_s=agent.interval_s,
        batches=agent.next_sequence,
        said_goodbye=agent.said_goodbye,
        silent=agent.told_silent,
        successor=agent.successor,
        facts=agent.facts,
        proofs=how.proofs,
        identity=how.identity,
        subject=how.subject,
        contested=how.contested,
    )
