"""The collector over real HTTP: each wrong request gets its refusal, and nothing else is disturbed."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from outrider_wire.batch import CONTENT_TYPE, MAX_BATCH_BYTES, sign_batch
from outrider_wire.enrolment import ENROL_CONTENT_TYPE
from outrider_wire.findings import Finding, TaskView

BATCH = {"Content-Type": CONTENT_TYPE}


def address(collector: Any) -> tuple[str, int]:
    """Host and port."""
    host, _, port = collector.url.removeprefix("http://").partition(":")
    return host, int(port)


@pytest.fixture
def undisturbed(collector: Any, speaker: Any, finding: Callable[..., Finding]) -> Iterator[Any]:
    """An agent that goes on before and after the test, with nothing told of it but what it said."""
    one = speaker()
    assert collector.enrol(one.request())[0] == 200
    assert collector.send(one.say(finding("before")).data)[0] == 200
    yield one
    status, receipt = collector.send(one.say(finding("after")).data)
    assert (status, receipt["sequence"]) == (200, one.sequence - 1)
    mine = [each["id"] for each in found_by(collector, one, 2)]
    assert mine == ["before", "after"]


def found_by(collector: Any, agent: Any, count: int) -> list[dict[str, Any]]:
    """The findings of one agent, once there are so many: the index is a moment behind the answer."""
    deadline = time.monotonic() + 5.0
    while True:
        mine = [each for each in collector.findings() if each["agent"] == agent.key.agent]
        if len(mine) >= count or time.monotonic() > deadline:
            return mine
        time.sleep(0.01)


def test_garbage_is_refused(collector: Any, undisturbed: Any) -> None:
    """Bytes that are no batch, truncated ones, and an unknown version, each with its code."""
    good = undisturbed.say().data
    for data, status, code in (
        (b"", 400, "bad-magic"),
        (b"garbage", 400, "bad-magic"),
        (good[:50], 400, "truncated"),
        (good[:-1], 400, "truncated"),
        (b"ORB2" + good[4:], 400, "unknown-version"),
        (b"ORB1\xff\xff\xff\xff", 413, "too-large"),
    ):
        answer = collector.send(data)
        assert (answer[0], answer[1]["code"]) == (status, code)
    assert collector.send(good)[0] == 200


def test_a_wrong_signature_is_refused(collector: Any, undisturbed: Any, speaker: Any) -> None:
    """Neither a stranger nor a stranger under a known name is taken."""
    stranger = speaker()
    assert collector.send(stranger.say().data)[1]["code"] == "unknown-agent"
    header = msgspec.structs.replace(stranger.say().header, agent=undisturbed.key.agent)
    assert collector.send(sign_batch(stranger.key, header, b"", b"").data)[1]["code"] == "bad-signature"


def test_an_oversized_body_is_refused_before_it_is_read(collector: Any, undisturbed: Any) -> None:
    """By its announced length; and by what came, where none was announced."""
    with socket.create_connection(address(collector), timeout=5.0) as raw:
        raw.sendall(
            b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
            % (CONTENT_TYPE.encode(), MAX_BATCH_BYTES + 1)
        )
        assert b" 413 " in raw.recv(4096)
    with socket.create_connection(address(collector), timeout=5.0) as raw:
        raw.sendall(
            b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
            % CONTENT_TYPE.encode()
        )
        threading.Thread(target=pour, args=(raw,), daemon=True).start()
        assert b" 413 " in raw.recv(4096)


def pour(raw: socket.socket) -> None:
    """More chunks than are taken, until the other end has enough."""
    try:
        for _ in range(MAX_BATCH_BYTES // 65536 + 10):
            raw.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
    except OSError:
        pass


def test_a_slow_body_is_given_up(collector: Any, undisturbed: Any) -> None:
    """A body that drips is refused after the time, while others are served."""
    with socket.create_connection(address(collector), timeout=5.0) as raw:
        head = f"POST /v1/batches HTTP/1.1\r\nHost: x\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: 100\r\n\r\n"
        raw.sendall(head.encode() + b"ORB1")
        assert collector.ask("GET", "/healthz")[0] == 200
        assert b"slow-body" in b"".join(iter(lambda: raw.recv(4096), b""))


def test_a_replay_is_known_and_a_fork_refused(collector: Any, speaker: Any, finding: Callable[..., Finding]) -> None:
    """The same batch again is a duplicate; another under its number is 409 and a finding."""
    one = speaker()
    collector.enrol(one.request())
    sent = one.say().data
    assert [collector.send(sent)[1]["duplicate"] for _ in range(3)] == [False, True, True]
    twin = speaker(key=one.key, resume=one.resume)
    status, refusal = collector.send(twin.say(finding("x")).data)
    assert (status, refusal["code"]) == (409, "fork")
    assert [each["type"] for each in found_by(collector, one, 1)] == ["Outrider:Integrity/Fork"]


def test_a_second_enrolment_is_refused_and_told(collector: Any, speaker: Any) -> None:
    """With the right token, for a task that has a key: 403, a finding, and its batches are not taken."""
    task = TaskView(arn="arn:aws:ecs:eu-west-1:111122223333:task/prod/1")
    one, thief = speaker(task=task), speaker(task=task)
    assert collector.enrol(one.request())[0] == 200
    status, refusal = collector.enrol(thief.request())
    assert (status, refusal["code"]) == (403, "second-enrolment")
    assert collector.send(thief.say().data)[1]["code"] == "quarantined"
    assert [each["type"] for each in found_by(collector, thief, 1)] == ["Outrider:Integrity/SecondEnrolment"]


def test_wrong_enrolments_are_refused(collector: Any, speaker: Any) -> None:
    """A wrong token, garbage, and another content type."""
    one = speaker()
    assert collector.enrol(one.request(token="wrong"))[1]["code"] == "bad-token"
    headers = {"Content-Type": ENROL_CONTENT_TYPE}
    assert collector.ask("POST", "/v1/enrol", b"garbage", headers)[1]["code"] == "bad-request"
    assert collector.ask("POST", "/v1/enrol", b"x", {"Content-Type": "text/plain"})[1]["code"] == "bad-content-type"
    assert collector.send(one.say().data)[1]["code"] == "unknown-agent"


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic a-token-for-tests", "Bearer", "Bearer \xe9"])
def test_readers_need_the_token(collector: Any, authorization: str) -> None:
    """Without it nothing is shown."""
    headers = {"Authorization": authorization.encode("latin-1")} if authorization else {}
    for path in ("/v1/findings", "/v1/agents"):
        status, refusal = collector.ask("GET", path, headers=headers)
        assert (status, refusal["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    "query",
    ["limit=-1", "limit=x", "limit=99999999999999999999", "since=yesterday", "after=-1", "after=9e9", "limit=²"],
)
def test_wrong_questions_are_refused(collector: Any, query: str) -> None:
    """Each is a 400 that says what was expected."""
    headers = {"Authorization": "Bearer a-token-for-tests"}
    status, refusal = collector.ask("GET", f"/v1/findings?{quote(query, safe='=')}", headers=headers)
    assert (status, refusal["code"]) == (400, "bad-request")


def test_unknown_places_are_refused_in_the_same_shape(collector: Any) -> None:
    """404 and 405 are JSON too."""
    assert collector.ask("GET", "/nowhere")[1]["code"] == "not-found"
    assert collector.ask("DELETE", "/v1/batches")[1]["code"] == "method-not-allowed"


def test_hostile_text_is_given_back_as_it_came(collector: Any, speaker: Any, finding: Callable[..., Finding]) -> None:
    """SQL, HTML, NUL and every odd character are data."""
    text = "'; DROP TABLE findings; --<script>\x00\u202e😀\\xff"
    one = speaker()
    collector.enrol(one.request())
    hostile = finding(text, title=text, type=text, rule=text, evidence={text: [text]})
    assert collector.send(one.say(hostile).data)[0] == 200
    (kept,) = found_by(collector, one, 1)
    assert (kept["title"], kept["evidence"]) == (text, {text: [text]})


def test_http_that_is_none_disturbs_nobody(collector: Any, undisturbed: Any) -> None:
    """Noise on the port, endless headers, connections that say nothing."""
    idle = [socket.create_connection(address(collector), timeout=5.0) for _ in range(20)]
    for noise in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000):
        with socket.create_connection(address(collector), timeout=5.0) as raw:
            try:
                raw.sendall(noise)
                raw.shutdown(socket.SHUT_WR)
                raw.recv(4096)
            except OSError:
                pass
    assert collector.ask("GET", "/healthz")[0] == 200
    for each in idle:
        each.close()


def test_what_was_answered_survives_kill_9(
    start: Callable[..., Any], tmp_path: Any, speaker: Any, finding: Callable[..., Finding]
) -> None:
    """A collector killed right after an answer has the finding when it is back, once, and goes on with the chain."""
    one = speaker()
    for turn in range(3):
        collector = start(tmp_path)
        assert collector.enrol(one.request())[1]["reason"] == ("known" if turn else "enrolled")
        for number in range(5):
            assert collector.send(one.say(finding(f"{turn}-{number}")).data)[0] == 200
        collector.process.kill()
        collector.process.wait()
    found = start(tmp_path).findings()
    assert [each["id"] for each in found] == [f"{turn}-{number}" for turn in range(3) for number in range(5)]


def test_silence_is_told_by_a_running_collector(start: Callable[..., Any], tmp_path: Any, speaker: Any) -> None:
    """Nobody has to ask for it."""
    collector = start(tmp_path, silence_intervals="0.3", silence_check_s="0.05")
    one = speaker(interval_s=1.0)
    collector.enrol(one.request())
    collector.send(one.say().data)
    assert [each["type"] for each in found_by(collector, one, 1)] == ["Outrider:Integrity/AgentSilent"]
    agents = collector.ask("GET", "/v1/agents", headers={"Authorization": "Bearer a-token-for-tests"})[1]
    assert json.dumps(agents).count('"silent": true') == 1
