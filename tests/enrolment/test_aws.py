"""AWS identity over HTTP: a real collector, and moto's STS, which checks every signature."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from aws_stand import answering
from msgspec.structs import replace

from outrider_collector.identity.endpoints import read_override
from outrider_collector.identity.sts import MAX_ANSWER_BYTES, CallerIdentity, ask_sts, read_identity
from outrider_wire.enrolment import make_request
from outrider_wire.errors import WireError
from outrider_wire.findings import TaskView
from outrider_wire.signing import SigningKey

OTHER = "222222222222"
ANSWER = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>{arn}</Arn><UserId>AROAX:{session}</UserId><Account>{account}</Account></GetCallerIdentityResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""


def test_a_task_enrols_by_its_role(collector: Any, candidate: Any) -> None:
    """Its key is bound to the task; asking again changes nothing, and the identity is kept."""
    one = candidate()
    assert collector.enrol(one.request()) == (200, "enrolled")
    assert collector.enrol(one.request()) == (200, "known")


def test_a_successor_by_resume_key_takes_over(collector: Any, candidate: Any) -> None:
    """A restarted sidecar proves both its role and its journal."""
    one = candidate()
    assert collector.enrol(one.request()) == (200, "enrolled")
    heir = candidate(one.task, resume=one.resume)
    assert collector.enrol(heir.request(made_at_ns=2)) == (200, "successor")


def test_a_task_without_metadata_is_bound_too(collector: Any, candidate: Any) -> None:
    """What STS says is enough, and no other key of the same role session is let in."""
    one = candidate()
    two = candidate(one.task)
    one.task = two.task = None
    assert collector.enrol(one.request()) == (200, "enrolled")
    assert collector.enrol(two.request()) == (403, "second-enrolment")


def test_an_instance_enrols_by_its_role(collector: Any, candidate: Any) -> None:
    """In host mode: bound to the instance's id, and to no task."""
    one = candidate(role="hosts", session="i-0123456789abcdef0")
    two = candidate(role="hosts", session="i-0123456789abcdef0")
    assert collector.enrol(one.request()) == (403, "aws-identity")  # an instance's role proves no task
    one.task = two.task = None
    assert collector.enrol(one.request()) == (200, "enrolled")
    assert collector.enrol(two.request()) == (403, "second-enrolment")


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ({"account": OTHER}, f"account {OTHER}"),
        ({"role": "other-role"}, "role 123456789012/other-role is not allowed"),
        ({"role": "web"}, "is not allowed"),
        ({"session": "someone"}, "named for no task"),
        ({"session": "i-0123456789abcdef0"}, "named for no task"),
        ({"role": "hosts"}, "named for no instance"),
    ],
)
def test_who_is_not_allowed_is_not_let_in(who: dict[str, str], said: str, collector: Any, candidate: Any) -> None:
    """Another account, another role, a session that somebody named himself."""
    assert collector.enrol(candidate(**who).request()) == (403, "aws-identity")
    assert said in collector.why(candidate(**who).request())


def test_a_role_session_of_one_task_speaks_for_no_other(collector: Any, candidate: Any) -> None:
    """Nor for one of the same id elsewhere."""
    one, two = candidate(), candidate()
    one.task = two.task
    assert collector.enrol(one.request()) == (403, "aws-proof")
    assert "the request says" in collector.why(one.request())
    two.task = TaskView(arn=two.task.arn.replace("123456789012", OTHER))
    assert collector.enrol(two.request()) == (403, "aws-proof")
    assert collector.enrol(candidate(TaskView(arn="nonsense"), session="a" * 32).request()) == (403, "aws-proof")


def test_another_cluster_in_the_arn_makes_no_other_task(collector: Any, candidate: Any) -> None:
    """The id alone tells tasks apart: STS proves no cluster."""
    one = candidate()
    assert collector.enrol(one.request()) == (200, "enrolled")
    two = candidate(TaskView(arn=one.task.arn.replace("/prod/", "/other/")))
    assert collector.enrol(two.request()) == (403, "second-enrolment")


def change(request: Any, **headers: str) -> Any:
    """The request with headers changed after they were signed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(request, aws=replace(request.aws, headers=request.aws.headers | named))


def test_what_was_signed_cannot_be_changed(collector: Any, candidate: Any) -> None:
    """Neither by the checks before, nor by STS's check of the signature."""
    one, thief = candidate(), candidate()
    good = one.request()
    other = thief.request()
    assert collector.enrol(replace(good, aws=other.aws)) == (403, "aws-proof")  # another's proof
    assert collector.enrol(change(good, x_outrider_public_key=thief.key.public.hex())) == (403, "aws-proof")
    stolen = change(replace(thief.request(), aws=good.aws), x_outrider_public_key=thief.key.public.hex())
    rebound = change(stolen, x_outrider_resume_key=thief.resume.public.hex())
    assert collector.enrol(rebound) == (403, "aws-refused")  # the signature does not hold
    bare = make_request(thief.key, thief.resume, token="", task=one.task, made_at_ns=1)
    assert collector.enrol(replace(bare, aws=rebound.aws)) == (403, "aws-refused")
    signature = good.aws.headers["authorization"]
    forged = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    assert collector.enrol(change(good, authorization=forged)) == (403, "aws-refused")
    assert collector.enrol(good) == (200, "enrolled")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"collector": "other.example"}, "x-outrider-collector is"),
        ({"url": "https://sts.eu-west-1.amazonaws.com/"}, "no STS endpoint"),
        ({"at_s": time.time() - 3600}, "too old"),
        ({"at_s": time.time() + 3600}, "too early"),
    ],
)
def test_a_proof_for_elsewhere_or_another_time_is_refused(
    made: dict[str, Any], said: str, collector: Any, candidate: Any
) -> None:
    """By name, and without asking anybody."""
    request = candidate().request(**made)
    assert collector.enrol(request) == (403, "aws-proof")
    assert said in collector.why(request)


def test_a_body_that_was_signed_otherwise_is_refused_by_sts(collector: Any, candidate: Any, monkeypatch: Any) -> None:
    """The collector asks its own question always: a signature over another one does not hold."""
    monkeypatch.setattr("outrider_sidecar.aws.proof.BODY", b"Action=GetSessionToken&Version=2011-06-15")
    assert collector.enrol(candidate().request()) == (403, "aws-refused")


def test_a_proof_that_is_forged_is_refused_with_a_good_token_too(collector: Any, candidate: Any) -> None:
    """An honest sidecar sends none. One that is merely not allowed is let in by its token."""
    assert collector.enrol(candidate().request(token="a-configured-token", collector="x")) == (403, "aws-proof")
    assert collector.enrol(candidate(role="other").request(token="a-configured-token")) == (200, "enrolled")


def test_a_second_key_is_quarantined_and_both_are_told(collector: Any, candidate: Any) -> None:
    """Whoever of the task comes first; the resume key alone makes a successor."""
    one = candidate()
    thief = candidate(one.task)
    assert collector.enrol(one.request()) == (200, "enrolled")
    assert collector.enrol(thief.request()) == (403, "second-enrolment")
    assert collector.enrol(thief.request()) == (403, "second-enrolment")
    told = [each for each in collector.told() if each[1] in (one.key.agent, thief.key.agent)]
    assert sorted(told) == sorted([("SecondEnrolment", thief.key.agent), ("ContestedEnrolment", one.key.agent)])


def test_where_both_are_wanted_the_role_alone_takes_no_first_place(strict: Any, candidate: Any) -> None:
    """An intruder who is first is refused, the sidecar with its token is let in, and the intruder then is told of."""
    real = candidate()
    thief = candidate(real.task)
    assert strict.enrol(thief.request()) == (401, "proof-needed")
    assert strict.enrol(real.request(token="a-configured-token")) == (200, "enrolled")
    assert strict.enrol(thief.request(token="guessed")) == (403, "second-enrolment")
    assert strict.told() == [("SecondEnrolment", thief.key.agent)]
    bare = make_request(SigningKey.generate(), thief.resume, token="a-configured-token", task=real.task, made_at_ns=1)
    assert strict.enrol(bare) == (401, "proof-needed")


def sts_says(status: int, body: bytes, **headers: str) -> Callable[[str], tuple[int, dict[str, str], bytes]]:
    """An STS that always answers so."""
    return lambda path: (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (sts_says(302, b"", Location="http://127.0.0.1:1/"), "aws-refused", "we do not go"),
        (sts_says(307, b"", Location="https://sts.eu-west-1.amazonaws.com/"), "aws-refused", "we do not go"),
        (
            sts_says(403, b"<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>"),
            "aws-refused",
            "Exp",
        ),
        (sts_says(400, b"<E><Error><Code>Throttling</Code></Error></E>"), "sts-unavailable", "400 Throttling"),
        (sts_says(500, b"no"), "sts-unavailable", "500"),
        (sts_says(503, b""), "sts-unavailable", "503"),
        (sts_says(200, b" " * (MAX_ANSWER_BYTES + 1)), "sts-unavailable", "more than"),
        (sts_says(200, b"", Content_Length="99"), "sts-unavailable", "ended early"),
        (sts_says(200, b"<html>"), "aws-refused", "names nobody"),
        (sts_says(200, b""), "aws-refused", "names nobody"),
    ],
)
def test_an_sts_that_answers_otherwise_lets_nobody_in(answer: Any, code: str, said: str) -> None:
    """Redirects are not followed, errors are named, long answers are cut off."""
    with answering(answer) as url, pytest.raises(WireError) as refused:
        ask_sts(read_override(url), {"authorization": "x"}, timeout_s=2.0)
    assert refused.value.code == code
    assert said in refused.value.detail


def test_a_slow_sts_is_given_up(stand: Any) -> None:
    """The time is for the whole of it, not for each byte."""

    def drip(path: str) -> tuple[int, dict[str, str], bytes]:
        time.sleep(1.5)
        return 200, {}, b""

    began_s = time.monotonic()
    with answering(drip) as url, pytest.raises(WireError) as refused:
        try:
            ask_sts(read_override(url), {"authorization": "x"}, timeout_s=0.3)
        finally:
            took_s = time.monotonic() - began_s
    assert refused.value.code == "sts-unavailable"
    assert took_s < 1.2


def test_an_sts_that_is_gone_is_unavailable() -> None:
    """Which is no refusal: the sidecar comes again."""
    with answering(sts_says(200, b"")) as url:
        gone = read_override(url)
    with pytest.raises(WireError) as refused:
        ask_sts(gone, {"authorization": "x"}, timeout_s=1.0)
    assert refused.value.code == "sts-unavailable"


def test_an_sts_that_stumbles_is_told_to_the_sidecar_as_such(
    run_collector: Any, aws_settings: Any, candidate: Any
) -> None:
    """503: it is no refusal. A good token is enough meanwhile."""
    with answering(sts_says(500, b"")) as url:
        collector = run_collector(**aws_settings(url))
        one = candidate()
        assert collector.enrol(one.request(url=url + "/")) == (503, "sts-unavailable")
        assert collector.enrol(one.request(url=url + "/", token="a-configured-token")) == (200, "enrolled")


@pytest.mark.parametrize(
    "body",
    [
        ANSWER.format(arn="arn", session="s", account="1").replace("<Arn>", "<Arn><x/>").replace("arn</Arn>", "</Arn>"),
        '<!DOCTYPE x [<!ENTITY e "arn:aws:sts::1:assumed-role/r/s">]>'
        + ANSWER.format(arn="&e;", session="s", account="1"),
        ANSWER.format(arn="a</Arn><Arn>b", session="s", account="1"),
        "<a>" * 5000,
        "<GetCallerIdentityResponse/>",
        ANSWER.format(arn="", session="s", account="1"),
    ],
)
def test_xml_that_is_no_answer_names_nobody(body: str) -> None:
    """No document type, one of each, nothing empty."""
    with pytest.raises(WireError) as refused:
        read_identity(body.encode())
    assert refused.value.code == "aws-refused"


def test_an_answer_is_read() -> None:
    """As STS gives it."""
    arn = "arn:aws:sts::1:assumed-role/r/s"
    assert read_identity(ANSWER.format(arn=arn, session="s", account="1").encode()) == CallerIdentity(
        arn, "1", "AROAX:s"
    )
