"""Enrolling: a decision on a key, made and written in one transaction that nobody else decides in."""

from sqlalchemy import Connection

from outrider_collector.enrol import Admission, Outcome, adopt_agent, judge_enrolment
from outrider_collector.identity.tasks import subject_of_task
from outrider_collector.store.agents import Agent, load_agent, lock_agents, save_agents
from outrider_collector.store.enrolments import (
    Enrolment,
    load_enrolments,
    lock_subject,
    mark_contested,
    save_enrolment,
)
from outrider_collector.store.findings import save_findings
from outrider_collector.store.tokens import note_use, spend_token
from outrider_collector.tokens import used_up
from outrider_wire.enrolment import EnrolRequest
from outrider_wire.errors import WireError
from outrider_wire.signing import agent_id


def admission_of(request: EnrolRequest) -> Admission:
    """What is taken as proved where somebody else has checked: the token, and the task as it says. Raises WireError."""
    return Admission(subject=subject_of_task(request.task.arn) if request.task else "")


def enrol(
    connection: Connection, request: EnrolRequest, admission: Admission, now_ns: int, *, collector: str = ""
) -> Outcome:
    """Decide on an enrolment and write what becomes of it; `collector` is who says so.

    Raises:
        WireError: `token-used-up`, its token's last use was taken meanwhile; or what `admission` says is wanting.
    """
    agent = agent_id(request.public_key)
    of_subject: list[Agent] = []
    held: dict[str, Enrolment] = {}
    if admission.subject:
        of_subject, held = lock_subject(connection, admission.subject)
    outcome = judge_enrolment(request, now_ns, load_agent(connection, agent), of_subject, admission, held)
    if admission.wanting is not None and outcome.reason == admission.wanting[0]:
        raise WireError(*admission.wanting)
    _account_token(connection, admission, outcome, now_ns)
    save_agents(connection, outcome.changed)
    if any(each.agent == agent for each in outcome.changed):
        save_enrolment(connection, _enrolment(agent, admission))
    mark_contested(connection, outcome.contested)
    save_findings(connection, now_ns, outcome.findings, collector=collector)
    return outcome


def adopt(connection: Connection, agent: str, now_ns: int) -> list[Agent] | None:
    """Make an agent its subject's live key, and write it; who changed, or None for an unknown agent."""
    enrolment = load_enrolments(connection, [agent]).get(agent)
    if enrolment is None:
        return None
    of_subject = lock_subject(connection, enrolment.subject)[0] if enrolment.subject else []
    chosen = lock_agents(connection, [agent]).get(agent)
    if chosen is None:
        return None
    changed = adopt_agent(chosen, of_subject, now_ns)
    save_agents(connection, changed)
    mark_contested(connection, [agent], contested=False)
    return changed


def _account_token(connection: Connection, admission: Admission, outcome: Outcome, now_ns: int) -> None:
    """A use is counted for each key that is let in anew. A key that is known costs nothing."""
    if not admission.token:
        return
    if not outcome.accepted or outcome.reason == "known":
        note_use(connection, admission.token, now_ns=now_ns)
    elif not spend_token(connection, admission.token, now_ns=now_ns):
        raise used_up(admission.token)


def _enrolment(agent: str, admission: Admission) -> Enrolment:
    return Enrolment(
        agent=agent,
        subject=admission.subject,
        proofs=admission.proofs,
        identity=admission.identity.arn if admission.identity else "",
        token=admission.token,
        source=admission.source,
    )
