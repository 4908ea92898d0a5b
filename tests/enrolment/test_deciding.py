"""Deciding on a key: in one transaction, on either store, one after the other however many decide."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aws_stand import new_task
from sqlalchemy import Engine

from outrider_collector.enrol import Admission
from outrider_collector.enrolling import admission_of, adopt, enrol
from outrider_collector.identity.caller import Identity
from outrider_collector.store.agents import load_agent
from outrider_collector.store.database import open_database, writing
from outrider_collector.store.enrolments import load_enrolments
from outrider_collector.store.tokens import load_token, save_token
from outrider_collector.tokens import make_token
from outrider_wire.enrolment import EnrolRequest, make_request
from outrider_wire.errors import WireError
from outrider_wire.findings import TaskView
from outrider_wire.signing import SigningKey, agent_id


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    """A new store of either kind."""
    made = open_database(store_url)
    yield made
    made.dispose()


def wanting(task: TaskView | None, *, resume: SigningKey | None = None, made_at_ns: int = 1) -> EnrolRequest:
    """An enrolment of a new key."""
    resume = resume or SigningKey.generate()
    return make_request(SigningKey.generate(), resume, token="", task=task, made_at_ns=made_at_ns)


def decide(engine: Engine, request: EnrolRequest, admission: Admission | None = None) -> str:
    """The reason given."""
    with writing(engine) as connection:
        return enrol(connection, request, admission or admission_of(request), 5).reason


def status(engine: Engine, request: EnrolRequest) -> str:
    """What the agent of a request is."""
    with engine.connect() as connection:
        agent = load_agent(connection, agent_id(request.public_key))
    return agent.status if agent else ""


def test_of_many_first_keys_one_lives(engine: Engine) -> None:
    """Offered at once, as through several collectors: one is enrolled, the others are quarantined."""
    task = new_task()
    requests = [wanting(task) for _ in range(8)]
    reasons: list[str] = []
    together = threading.Barrier(len(requests))

    def offer(request: EnrolRequest) -> None:
        together.wait()
        reasons.append(decide(engine, request))

    threads = [threading.Thread(target=offer, args=(request,)) for request in requests]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(reasons) == ["enrolled", *["second-enrolment"] * 7]
    assert sorted(status(engine, request) for request in requests) == ["live", *["quarantined"] * 7]


@pytest.mark.parametrize("arn", ["a" * 513, "with\0nul", "ä", "two\nlines"])
def test_what_is_no_name_is_refused(engine: Engine, arn: str) -> None:
    """It would be cut and cleaned in the store, and then be another's."""
    with pytest.raises(WireError, match="bad-request"):
        decide(engine, wanting(TaskView(arn=arn)))


@pytest.mark.parametrize("arn", ["nonsense", "a" * 511, "arn:aws:ecs:::task/x", "'; DROP TABLE agents; --"])
def test_whatever_a_task_is_called_it_has_one_key(engine: Engine, arn: str) -> None:
    """Long, hostile, no ARN."""
    task = TaskView(arn=arn)
    assert decide(engine, wanting(task)) == "enrolled"
    assert decide(engine, wanting(task)) == "second-enrolment"
    assert decide(engine, wanting(TaskView(arn=arn + "?"))) == "enrolled"


def test_how_an_agent_enrolled_is_kept(engine: Engine) -> None:
    """By what, from where; and that it is contested, once a key that proved as much was offered."""
    request, second = wanting(None), wanting(None)
    identity = Identity("task", "1", "a", "r", "arn:aws:sts::1:assumed-role/r/a")
    admission = Admission(proofs="aws", subject=identity.subject, identity=identity, source="10.0.0.1")
    assert decide(engine, request, admission) == "enrolled"
    agent = agent_id(request.public_key)
    with engine.connect() as connection:
        held = load_enrolments(connection, [agent])[agent]
    assert (held.subject, held.proofs, held.identity, held.source) == ("task:1/a", "aws", identity.arn, "10.0.0.1")
    assert not held.contested
    assert decide(engine, second, admission) == "second-enrolment"
    with engine.connect() as connection:
        assert load_enrolments(connection, [agent])[agent].contested


def test_a_key_that_a_person_adopts_lives(engine: Engine) -> None:
    """The one before it is quarantined; its successors follow."""
    task = new_task()
    resume = SigningKey.generate()
    thief, real = wanting(task), wanting(task, resume=resume)
    assert decide(engine, thief) == "enrolled"
    assert decide(engine, real) == "second-enrolment"
    with writing(engine) as connection:
        assert adopt(connection, "0" * 32, 6) is None
        assert adopt(connection, agent_id(real.public_key), 6) is not None
    assert (status(engine, thief), status(engine, real)) == ("quarantined", "live")
    assert decide(engine, real) == "known"
    assert decide(engine, wanting(task, resume=resume, made_at_ns=2)) == "successor"


def test_a_use_of_a_token_and_its_agent_come_together(engine: Engine) -> None:
    """Where no use is left nothing is written."""
    shown, token = make_token("enrol", now_ns=1, max_uses=1)
    del shown
    with writing(engine) as connection:
        save_token(connection, token)
    admission = Admission(proofs="token", token=token.id)
    first, late = wanting(None), wanting(None)
    assert decide(engine, first, admission) == "enrolled"
    assert decide(engine, first, admission) == "known"
    with pytest.raises(WireError, match="token-used-up"):
        decide(engine, late, admission)
    assert status(engine, late) == ""
    with engine.connect() as connection:
        kept = load_token(connection, token.id)
    assert kept is not None
    assert (kept.uses, kept.last_used_ns) == (1, 5)


def test_what_is_wanting_writes_nothing(engine: Engine) -> None:
    """A refusal that comes with a proved subject leaves no trace where there is no key yet."""
    request: Any = wanting(None)
    admission = Admission(proofs="aws", subject="task:1/b", wanting=("proof-needed", "a token"))
    with pytest.raises(WireError, match="proof-needed"):
        decide(engine, request, admission)
    assert status(engine, request) == ""
