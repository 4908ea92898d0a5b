"""Enrolment: one live key a task, successors by resume key, everybody else quarantined and told."""

from typing import Any

from msgspec.structs import replace

from outrider_collector.enrol import MAX_QUARANTINED, Admission, Outcome, adopt_agent, judge_enrolment
from outrider_collector.store.agents import Agent
from outrider_collector.store.enrolments import Enrolment
from outrider_wire.enrolment import EnrolRequest
from outrider_wire.findings import TaskView

TASK = TaskView(arn="arn:task")


class Register:
    """The agents of one task."""

    def __init__(self) -> None:
        self.agents: dict[str, Agent] = {}

    def hear(self, request: EnrolRequest, agent: str, now_ns: int = 100) -> Outcome:
        """Judge a request and keep what it changed."""
        outcome = judge_enrolment(request, now_ns, self.agents.get(agent), list(self.agents.values()))
        self.agents |= {each.agent: each for each in outcome.changed}
        return outcome


def test_the_first_key_is_the_tasks(speaker: Any) -> None:
    """It is enrolled; asking again changes nothing."""
    register, one = Register(), speaker(task=TASK)
    assert register.hear(one.request(), one.key.agent).reason == "enrolled"
    assert register.hear(one.request(), one.key.agent) == Outcome(True, "known")


def test_a_successor_by_resume_key_takes_over(speaker: Any) -> None:
    """The one before is told of as silent unless it had said good-bye."""
    register, one = Register(), speaker(task=TASK)
    register.hear(one.request(), one.key.agent)
    two = speaker(task=TASK, resume=one.resume)
    outcome = register.hear(two.request(made_at_ns=2), two.key.agent)
    assert (outcome.accepted, outcome.reason) == (True, "successor")
    assert [(f.type, f.severity) for f in outcome.findings] == [("Outrider:Integrity/AgentSilent", "MEDIUM")]
    assert register.agents[one.key.agent].status == "succeeded"
    assert register.agents[one.key.agent].successor == two.key.agent
    register.agents[two.key.agent] = replace(register.agents[two.key.agent], said_goodbye=True)
    three = speaker(task=TASK, resume=one.resume)
    assert register.hear(three.request(made_at_ns=3), three.key.agent).findings == []


def test_a_succeeded_key_does_not_come_back_to_life(speaker: Any) -> None:
    """Its request replayed is known, and changes nothing."""
    register, one = Register(), speaker(task=TASK)
    register.hear(one.request(), one.key.agent)
    two = speaker(task=TASK, resume=one.resume)
    register.hear(two.request(made_at_ns=2), two.key.agent)
    assert register.hear(one.request(), one.key.agent) == Outcome(True, "known")
    assert register.agents[one.key.agent].status == "succeeded"


def test_a_second_key_is_quarantined_and_both_are_told(speaker: Any) -> None:
    """Before, during and after the first one's life; asking again it is refused again, and told once.

    It proved as much as the first, so that one is told of as contested, once.
    """
    register, one, thief = Register(), speaker(task=TASK), speaker(task=TASK)
    register.hear(one.request(), one.key.agent)
    outcome = register.hear(thief.request(), thief.key.agent)
    assert (outcome.accepted, outcome.reason) == (False, "second-enrolment")
    assert [(f.type, f.agent, f.severity) for f in outcome.findings] == [
        ("Outrider:Integrity/SecondEnrolment", thief.key.agent, "HIGH"),
        ("Outrider:Integrity/ContestedEnrolment", one.key.agent, "HIGH"),
    ]
    assert outcome.contested == [one.key.agent]
    assert register.hear(thief.request(), thief.key.agent) == Outcome(False, "second-enrolment")
    register.agents[one.key.agent] = replace(register.agents[one.key.agent], said_goodbye=True)
    later = speaker(task=TASK)
    assert not register.hear(later.request(), later.key.agent).accepted


def test_a_quarantined_key_registers_no_resume_key(speaker: Any) -> None:
    """Who was refused cannot vouch for another."""
    register, one, thief = Register(), speaker(task=TASK), speaker(task=TASK)
    register.hear(one.request(), one.key.agent)
    register.hear(thief.request(), thief.key.agent)
    accomplice = speaker(task=TASK, resume=thief.resume)
    assert not register.hear(accomplice.request(made_at_ns=9), accomplice.key.agent).accepted


def test_quarantine_is_bounded(speaker: Any) -> None:
    """A flood of second keys is refused without being kept."""
    register, one = Register(), speaker(task=TASK)
    register.hear(one.request(), one.key.agent)
    outcomes = [register.hear(each.request(), each.key.agent) for each in (speaker(task=TASK) for _ in range(20))]
    assert not any(outcome.accepted for outcome in outcomes)
    told = [finding.type.rpartition("/")[2] for outcome in outcomes for finding in outcome.findings]
    assert (told.count("SecondEnrolment"), told.count("ContestedEnrolment")) == (MAX_QUARANTINED, 1)
    assert len(register.agents) == 1 + MAX_QUARANTINED


def test_a_predecessor_handed_in_late_does_not_take_over(speaker: Any) -> None:
    """It was made before the live one: its batches will count, and the live one stays."""
    register, dead = Register(), speaker(task=TASK)
    heir = speaker(task=TASK, resume=dead.resume)
    register.hear(heir.request(made_at_ns=2), heir.key.agent)
    assert register.hear(dead.request(made_at_ns=1), dead.key.agent).reason == "predecessor"
    assert register.agents[dead.key.agent].status == "succeeded"
    assert register.agents[heir.key.agent].status == "live"


def test_without_a_task_the_token_alone_decides(speaker: Any) -> None:
    """Agents outside of ECS are each their own."""
    one, two = speaker(), speaker()
    assert judge_enrolment(one.request(), 1, None, []).reason == "enrolled"
    assert judge_enrolment(two.request(), 1, None, []).reason == "enrolled"


BOTH = Admission(proofs="aws+token", subject="task:1/a")
ROLE = Admission(proofs="aws", subject="task:1/a")


def judge(request: EnrolRequest, of_task: list[Agent], admission: Admission, held: str) -> Outcome:
    """A request against agents that all enrolled by `held`."""
    enrolled = {each.agent: Enrolment(agent=each.agent, proofs=held) for each in of_task}
    return judge_enrolment(request, 9, None, of_task, admission, enrolled)


def test_a_holder_that_proved_more_is_not_contested(speaker: Any) -> None:
    """The second key then is the stranger, and alone is told of."""
    one, thief = speaker(task=TASK), speaker(task=TASK)
    outcome = judge(thief.request(), [one.agent()], ROLE, "aws+token")
    assert [f.type for f in outcome.findings] == ["Outrider:Integrity/SecondEnrolment"]
    assert outcome.contested == []
    assert outcome.findings[0].evidence["contested"] is False


def test_a_token_and_a_role_are_different_things(speaker: Any) -> None:
    """Neither proves more than the other: an intruder with the role may have been faster than a sidecar's token."""
    one, second = speaker(task=TASK), speaker(task=TASK)
    assert judge(second.request(), [one.agent()], ROLE, "token").contested == [one.key.agent]
    assert judge(second.request(), [one.agent()], Admission(proofs="token"), "aws").contested == [one.key.agent]


def test_who_proves_more_than_the_holder_does_not_displace_it(speaker: Any) -> None:
    """A person decides; both are told."""
    one, second = speaker(task=TASK), speaker(task=TASK)
    outcome = judge(second.request(), [one.agent()], BOTH, "aws")
    assert not outcome.accepted
    assert outcome.contested == [one.key.agent]


def test_what_is_wanting_is_told_only_where_there_is_a_key(speaker: Any) -> None:
    """A role alone, where both proofs are needed, takes no first place, but is a second key once there is a first."""
    one, thief = speaker(task=TASK), speaker(task=TASK)
    wanting = replace(ROLE, wanting=("bad-token", "none"))
    assert judge(thief.request(), [], wanting, "") == Outcome(False, "bad-token")
    assert [f.type for f in judge(thief.request(), [one.agent()], wanting, "aws+token").findings] == [
        "Outrider:Integrity/SecondEnrolment"
    ]
    heir = speaker(task=TASK, resume=one.resume)
    assert judge(heir.request(made_at_ns=2), [one.agent()], wanting, "aws+token") == Outcome(False, "bad-token")


def test_a_person_can_say_which_key_is_the_real_one(speaker: Any) -> None:
    """The adopted key lives, all of another resume key are quarantined, and its own successors follow it."""
    thief = speaker(task=TASK)
    accomplice = speaker(task=TASK, resume=thief.resume)
    real = speaker(task=TASK)
    of_task = [replace(thief.agent(), status="succeeded"), accomplice.agent()]
    chosen = replace(real.agent(), status="quarantined")
    after = {each.agent: each.status for each in adopt_agent(chosen, [*of_task, chosen], 9)}
    assert after == {thief.key.agent: "quarantined", accomplice.key.agent: "quarantined", real.key.agent: "live"}
    heir = speaker(task=TASK, resume=real.resume)
    now = [replace(each, status="quarantined") for each in of_task] + [replace(chosen, status="live")]
    assert judge(heir.request(made_at_ns=2), now, ROLE, "aws").reason == "successor"
