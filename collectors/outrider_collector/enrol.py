"""Who may speak for a task: one live key at a time, and after it only its successors.

The first enrolment of a task registers a resume key. A later key is the successor when its request is signed by
that resume key; every other is quarantined: kept, refused, and told. Without a task, the token alone decides.
"""

from msgspec import Struct
from msgspec.structs import replace

from outrider_collector.integrity import integrity_finding
from outrider_collector.silence import silence_finding
from outrider_collector.store.agents import Agent, Status
from outrider_wire.enrolment import EnrolRequest
from outrider_wire.findings import Finding
from outrider_wire.signing import agent_id

MAX_QUARANTINED = 8
"""Most quarantined keys kept, and told of, for one task."""


class Outcome(Struct, frozen=True):
    """What becomes of an enrolment: `changed` agents are to be saved, `findings` told."""

    accepted: bool
    reason: str
    changed: list[Agent] = []
    findings: list[Finding] = []


def judge_enrolment(request: EnrolRequest, now_ns: int, known: Agent | None, of_task: list[Agent]) -> Outcome:
    """Decide on a request whose signatures and token hold. `known` is the agent of the same key, if there is one."""
    if known is not None:
        return Outcome(known.status != "quarantined", "known" if known.status != "quarantined" else "second-enrolment")
    trusted = [agent for agent in of_task if agent.status != "quarantined"]
    if not trusted:
        return Outcome(True, "enrolled", [_new(request, now_ns, "live")])
    if request.resume_public_key != trusted[0].resume_public_key:
        return _quarantine(request, now_ns, of_task, trusted[-1])
    live = [agent for agent in trusted if agent.status == "live"]
    if any(request.made_at_ns < agent.made_at_ns for agent in live):
        # a predecessor that died unheard, handed in by its successor
        return Outcome(True, "predecessor", [replace(_new(request, now_ns, "succeeded"), successor=live[0].agent)])
    return _succeed(_new(request, now_ns, "live"), live, now_ns)


def _succeed(new: Agent, live: list[Agent], now_ns: int) -> Outcome:
    """A successor takes over. A predecessor that gave no good-bye is told of, though the gap is closed."""
    past = [
        replace(agent, status="succeeded", successor=new.agent, told_silent=True, changed_at_ns=now_ns)
        for agent in live
    ]
    untold = [agent for agent in live if not agent.said_goodbye and not agent.told_silent]
    told = [silence_finding(agent, now_ns, successor=new.agent) for agent in untold]
    return Outcome(True, "successor", [*past, new], told)


def _quarantine(request: EnrolRequest, now_ns: int, of_task: list[Agent], holder: Agent) -> Outcome:
    if len([agent for agent in of_task if agent.status == "quarantined"]) >= MAX_QUARANTINED:
        return Outcome(False, "second-enrolment")
    agent = _new(request, now_ns, "quarantined")
    finding = integrity_finding(
        "SecondEnrolment",
        agent,
        at_ns=now_ns,
        cause="",
        description=f"agent {agent.agent} asked to speak for a task that agent {holder.agent} speaks for",
        evidence={"holder": holder.agent, "holder_status": holder.status},
    )
    return Outcome(False, "second-enrolment", [agent], [finding])


def _new(request: EnrolRequest, now_ns: int, status: Status) -> Agent:
    return Agent(
        agent=agent_id(request.public_key),
        public_key=request.public_key,
        resume_public_key=request.resume_public_key,
        status=status,
        task=request.task,
        made_at_ns=request.made_at_ns,
        enrolled_at_ns=now_ns,
        seen_at_ns=now_ns,
        changed_at_ns=now_ns,
    )
