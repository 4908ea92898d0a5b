"""Enrolments in the store: what each agent was let in by, and what it speaks for.

`subjects` is there to be locked: of two collectors that hear two keys for one task, one decides after the other.
"""

import contextlib

import msgspec
from msgspec import Struct
from sqlalchemy import Boolean, Column, Connection, String, Table, Text, select, update

from outrider_collector.identity.tasks import subject_of_task
from outrider_collector.store.agents import Agent, lock_agents
from outrider_collector.store.database import insert_new, upsert
from outrider_collector.store.tables import agents, metadata
from outrider_wire.errors import WireError
from outrider_wire.findings import TaskView

enrolments = Table(
    "enrolments",
    metadata,
    Column("agent", String(32), primary_key=True),
    Column("subject", Text, nullable=False, index=True),
    Column("proofs", String(16), nullable=False),
    Column("identity", Text, nullable=False),
    Column("token", String(16), nullable=False),
    Column("source", String(64), nullable=False),
    Column("contested", Boolean, nullable=False),
)

subjects = Table("subjects", metadata, Column("subject", Text, primary_key=True))


class Enrolment(Struct, frozen=True, kw_only=True):
    """How an agent came to be known.

    `subject` is what may have one live key (`task:ACCOUNT/ID`, `instance:ACCOUNT/ID`), empty where there is no such
    thing. `proofs` is `token`, `aws`, `aws+token`, or empty where nothing held; `identity` the ARN that STS named;
    `token` the id of a token that was made here. `contested`: another key was offered that proved as much.
    """

    agent: str
    subject: str = ""
    proofs: str = ""
    identity: str = ""
    token: str = ""
    source: str = ""
    contested: bool = False


def load_enrolments(connection: Connection, wanted: list[str]) -> dict[str, Enrolment]:
    """Enrolments by agent."""
    query = select(enrolments).where(enrolments.c.agent.in_(wanted))
    return {row["agent"]: Enrolment(**row) for row in connection.execute(query).mappings()}


def save_enrolment(connection: Connection, enrolment: Enrolment) -> None:
    """Write one."""
    upsert(connection, enrolments, [{name: getattr(enrolment, name) for name in enrolment.__struct_fields__}])


def mark_contested(connection: Connection, marked: list[str], *, contested: bool = True) -> None:
    """Note that other keys were offered beside these; or that somebody settled it."""
    connection.execute(update(enrolments).where(enrolments.c.agent.in_(marked)).values(contested=contested))


def lock_subject(connection: Connection, subject: str) -> tuple[list[Agent], dict[str, Enrolment]]:
    """All agents of a subject, the first one first, with their enrolments; nobody else decides on it meanwhile."""
    insert_new(connection, subjects, [{"subject": subject}])
    connection.execute(select(subjects).where(subjects.c.subject == subject).with_for_update()).all()
    query = select(enrolments).where(enrolments.c.subject == subject)
    found = {row["agent"]: Enrolment(**row) for row in connection.execute(query).mappings()}
    locked = lock_agents(connection, list(found)).values()
    return sorted(locked, key=lambda agent: (agent.enrolled_at_ns, agent.agent)), found


def name_subjects(connection: Connection) -> None:
    """Enrolments of agents from before there were any: by token, for the task that they say."""
    for row in connection.execute(select(agents.c.agent, agents.c.task)).all():
        task = msgspec.json.decode(row.task, type=TaskView | None)
        with contextlib.suppress(WireError):
            subject = subject_of_task(task.arn) if task else ""
            save_enrolment(connection, Enrolment(agent=row.agent, subject=subject, proofs="token"))
