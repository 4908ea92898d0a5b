"""Who may speak for a task or an instance: one live key at a time, and after it only its successors.

The first enrolment of a subject registers a resume key. A later key is the successor when its request is signed by
that resume key; every other is quarantined: kept, refused, and told. Without a subject, being let in alone decides.

Whoever shares a task shares its role, so the first key may be an intruder's who was faster. Nothing that the second can
show by role alone tells which of them is the sidecar. So both are told of, the first as contested, until a person
settles it; unless the first proved more than the second, which then is the stranger.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from outrider_collector.identity.caller import Identity
from outrider_collector.integrity import integrity_finding
from outrider_collector.silence import silence_finding
from outrider_collector.store.agents import Agent, Status
from outrider_collector.store.enrolments import Enrolment
from outrider_wire.enrolment import EnrolRequest
from outrider_wire.findings import Finding
from outrider_wire.signing import agent_id

MAX_QUARANTINED = 8
"""Most quarantined keys kept, and told of, for one subject."""


class Admission(Struct, frozen=True, kw_only=True):
    """What a request proved of its sender. `proofs` is as in `Enrolment`; `token` the id of a token made here.

    `wanting` is the code and the reason why that is not enough to enrol, empty where it is: such a request still
    counts as a second key where its subject has one.
    """

    proofs: str = "token"
    subject: str = ""
    identity: Identity | None = None
    token: str = ""
    source: str = ""
    wanting: tuple[str, str] | None = None


class Outcome(Struct, frozen=True):
    """What becomes of an enrolment: `changed` agents are to be saved, `findings` told, `contested` agents marked."""

    accepted: bool
    reason: str
    changed: list[Agent] = []
    findings: list[Finding] = []
    contested: list[str] = []


def judge_enrolment(
    request: EnrolRequest,
    now_ns: int,
    known: Agent | None,
    of_task: list[Agent],
    admission: Admission | None = None,
    held: Mapping[str, Enrolment] | None = None,
) -> Outcome:
    """Decide on a request whose signatures hold and that proved what `admission` says.

    `known` is the agent of the same key, if there is one; `of_task` those of the same subject; `held` says how those
    enrolled.
    """
    admission, held = admission or Admission(), held or {}
    if known is not None:
        return Outcome(known.status != "quarantined", "known" if known.status != "quarantined" else "second-enrolment")
    trusted = [agent for agent in of_task if agent.status != "quarantined"]
    if admission.wanting is not None and not trusted:
        return Outcome(False, admission.wanting[0])
    if not trusted:
        return Outcome(True, "enrolled", [_new(request, now_ns, "live")])
    if request.resume_public_key != trusted[-1].resume_public_key:
        return _quarantine(request, now_ns, of_task, trusted[-1], admission, held)
    if admission.wanting is not None:
        return Outcome(False, admission.wanting[0])
    live = [agent for agent in trusted if agent.status == "live"]
    if any(request.made_at_ns < agent.made_at_ns for agent in live):
        # a predecessor that died unheard, handed in by its successor
        return Outcome(True, "predecessor", [replace(_new(request, now_ns, "succeeded"), successor=live[0].agent)])
    return _succeed(_new(request, now_ns, "live"), live, now_ns)


def adopt_agent(chosen: Agent, of_subject: list[Agent], now_ns: int) -> list[Agent]:
    """The agents that change when a person says which key is the real one: all of other resume keys are quarantined."""
    others = [agent for agent in of_subject if agent.agent != chosen.agent and agent.status != "quarantined"]
    changed = []
    for agent in others:
        if agent.resume_public_key != chosen.resume_public_key:
            changed.append(replace(agent, status="quarantined", changed_at_ns=now_ns))
        elif agent.status == "live":
            changed.append(replace(agent, status="succeeded", successor=chosen.agent, changed_at_ns=now_ns))
    if chosen.status != "live":
        changed.append(replace(chosen, status="live", changed_at_ns=now_ns))  # last: there is one live key at any time
    return changed


def _succeed(new: Agent, live: list[Agent], now_ns: int) -> Outcome:
    """A successor takes over. A predecessor that gave no good-bye is told of, though the gap is closed."""
    past = [
        replace(agent, status="succeeded", successor=new.agent, told_silent=True, changed_at_ns=now_ns)
        for agent in live
    ]
    untold = [agent for agent in live if not agent.said_goodbye and not agent.told_silent]
    told = [silence_finding(agent, now_ns, successor=new.agent) for agent in untold]
    return Outcome(True, "successor", [*past, new], told)


def _quarantine(
    request: EnrolRequest,
    now_ns: int,
    of_task: list[Agent],
    holder: Agent,
    admission: Admission,
    held: Mapping[str, Enrolment],
) -> Outcome:
    before = [agent for agent in of_task if agent.status == "quarantined"]
    holding = held.get(holder.agent, Enrolment(agent=holder.agent, proofs="token"))
    contested = not _proves_less(admission.proofs, holding.proofs)
    if len(before) >= MAX_QUARANTINED:
        return Outcome(False, "second-enrolment", contested=[holder.agent] if contested else [])
    agent = _new(request, now_ns, "quarantined")
    told = [_second_finding(agent, holder, admission, holding, contested, now_ns)]
    if contested and not holding.contested and not before:
        told.append(_contested_finding(holder, agent, admission, holding, now_ns))
    return Outcome(False, "second-enrolment", [agent], told, [holder.agent] if contested else [])


def _proves_less(second: str, first: str) -> bool:
    """Whether all that the second proved the first did too, and more. A token and a role are different things."""
    return set(filter(None, second.split("+"))) < set(first.split("+"))


def _second_finding(
    agent: Agent, holder: Agent, admission: Admission, holding: Enrolment, contested: bool, now_ns: int
) -> Finding:
    which = "either may be the sidecar" if contested else f"which proved more ({holding.proofs})"
    return integrity_finding(
        "SecondEnrolment",
        agent,
        at_ns=now_ns,
        cause="",
        description=f"agent {agent.agent} asked to speak for what agent {holder.agent} speaks for; {which}",
        evidence={
            "holder": holder.agent,
            "holder_status": holder.status,
            "holder_proofs": holding.proofs,
            "contested": contested,
            "subject": admission.subject,
            "proofs": admission.proofs,
            "identity": admission.identity.arn if admission.identity else "",
            "source": admission.source,
        },
    )


def _contested_finding(holder: Agent, second: Agent, admission: Admission, holding: Enrolment, now_ns: int) -> Finding:
    return integrity_finding(
        "ContestedEnrolment",
        holder,
        at_ns=now_ns,
        cause="",
        description=f"agent {holder.agent} was first, agent {second.agent} proved as much: either may be the sidecar",
        evidence={
            "second": second.agent,
            "subject": admission.subject,
            "proofs": holding.proofs,
            "identity": holding.identity,
            "source": holding.source,
        },
    )


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
