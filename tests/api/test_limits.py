"""What comes too slowly, too large, as something else or too often is refused, and disturbs nobody."""

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest
from api_stand import ADMIN, Stand, Teller, make_finding, standing
from databases import PROGRAMS, running_postgres

from outrider_wire.batch import CONTENT_TYPE

HEAD = f"POST /v1/triage/archive HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n"
JSON = "Content-Type: application/json\r\n"


def speak(stand: Stand, *parts: bytes, timeout_s: float = 15.0) -> bytes:
    """Send bytes as they are, and everything that comes back until the other end closes."""
    with socket.create_connection((stand.host, stand.port), timeout=timeout_s) as raw:
        try:
            for part in parts:
                raw.sendall(part)
        except OSError:
            pass
        said = b""
        try:
            while more := raw.recv(65536):
                said += more
        except OSError:
            pass
        return said


def test_a_slow_body_is_given_up(stand: Stand) -> None:
    """408, and the connection with it."""
    assert b"slow-body" in speak(stand, f"{HEAD}{JSON}Content-Length: 100\r\n\r\n".encode() + b'{"ids"')


def test_a_slow_head_is_given_up(stand: Stand) -> None:
    """Also the head of a later request, and a connection that never says anything."""
    began = time.monotonic()
    silent: list[bytes] = []
    thread = threading.Thread(target=lambda: silent.append(speak(stand)))
    thread.start()
    said = speak(stand, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHo")
    assert said.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 400 " in said
    thread.join()
    assert b" 400 " in silent[0] and time.monotonic() - began < 14.0


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 100_000,
        b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 100_000,
        b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 4_000 + b"\r\n",
        b"GET /" + b"x" * 100_000,
        b"GET /v1/findings?text=" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_a_long_head_is_refused(stand: Stand, head: bytes) -> None:
    """However it is long, and before it is whole."""
    said = speak(stand, head)
    assert said == b"" or b" 400 " in said.split(b"\r\n")[0]
    assert stand.ask("GET", "/healthz").status == 200


def test_a_large_body_is_refused_before_it_is_read(stand: Stand) -> None:
    """By what is announced, and by what comes."""
    assert b" 413 " in speak(stand, f"{HEAD}{JSON}Content-Length: 1000000\r\n\r\n".encode())
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    assert b" 413 " in speak(stand, f"{HEAD}{JSON}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 6)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "\xff"])
def test_another_content_type_is_refused(stand: Stand, kind: str) -> None:
    """415; parameters behind the right one do no harm."""
    assert stand.ask("POST", "/v1/triage/archive", b'{"ids":[]}', Content_Type=kind).status == 415
    body = b'{"ids":["%s"]}' % (b"0" * 32)
    good = stand.ask("POST", "/v1/triage/archive", body, Content_Type="application/json; charset=utf-8")
    assert good.json == {"changed": []}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"ids": "x"}',
        b'{"ids": ["x"]}',
        b'{"ids": [], "more": 1}',
        b'{"ids": [' + b",".join([b'"%s"' % (b"0" * 32)] * 1001) + b"]}",
        b'{"ids":' + b"[" * 100_000,
        b'{"ids":["\\ud800"]}',
        b"\xff\xfe{}",
        b'{"ids":[' + b"9" * 5000 + b"]}",
    ],
)
def test_a_wrong_body_is_refused(stand: Stand, body: bytes) -> None:
    """400 with where it is wrong."""
    answer = stand.ask("POST", "/v1/triage/archive", body, Content_Type="application/json")
    assert (answer.status, answer.code) == (400, "bad-request")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=99999999999999999999999",
        "limit=1&limit=2",
        "state=" + "&state=".join(["new"] * 9),
        "more=1",
        "&".join(f"a{n}=1" for n in range(100)),
        "cursor=!",
        "cursor=AAAA",
        "cursor=" + "A" * 513,
        "since=",
        "since=2026-13-01T00:00:00Z",
        "text=" + "x" * 513,
        "text=%00",
        "severity=high",
        "sort=number",
    ],
)
def test_a_wrong_question_is_refused(stand: Stand, query: str) -> None:
    """400, in the same shape."""
    answer = stand.ask("GET", f"/v1/findings?{query}")
    assert (answer.status, answer.code) == (400, "bad-request")


def test_every_answer_is_for_programs_only(stand: Stand) -> None:
    """Good or bad, nothing is kept by a cache, guessed at, or shown in a frame."""
    for path in ("/healthz", "/v1/findings", "/nowhere", "/v1/findings?limit=0", "/metrics"):
        headers = stand.ask("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store", path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "server" not in headers


def test_unknown_places_and_methods(stand: Stand) -> None:
    """404 and 405 with what is allowed; HEAD as GET."""
    assert stand.ask("GET", "/v1").code == stand.ask("GET", "/v1/findings/").code == "not-found"
    answer = stand.ask("PUT", "/v1/tokens", {})
    assert (answer.status, answer.code) == (405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert (stand.ask("HEAD", "/v1/findings").status, stand.ask("HEAD", "/v1/findings").body) == (200, b"")


def test_too_many_connections_are_told_and_then_closed(tmp_path: Path) -> None:
    """503 for the first ones past the bound, nothing for more; when some go, it goes on."""
    with standing(tmp_path, max_connections="8") as stand:
        held = [socket.create_connection((stand.host, stand.port), timeout=5.0) for _ in range(8)]
        assert b" 503 " in speak(stand, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        held += [socket.create_connection((stand.host, stand.port), timeout=5.0) for _ in range(120)]
        for each in held:
            each.close()
        deadline = time.monotonic() + 5.0
        while b" 200 " not in speak(stand, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
            assert time.monotonic() < deadline


def test_an_agent_past_its_share_is_told_when_to_come_back(tmp_path: Path) -> None:
    """429 with Retry-After, for that agent alone."""
    with standing(tmp_path, agent_bytes_per_s="10", agent_burst_bytes="1") as stand:
        greedy, modest = Teller(stand), Teller(stand)
        assert greedy.enrol().status == modest.enrol().status == 200
        assert greedy.tell(make_finding("a")).status == 200
        refused = greedy.tell(make_finding("b"))
        assert (refused.status, refused.code) == (429, "busy") and 1 <= int(refused.headers["retry-after"]) <= 60
        assert modest.tell(make_finding("c")).status == 200


@pytest.mark.skipif(not PROGRAMS, reason="PostgreSQL is not installed")
def test_a_store_that_is_gone_refuses_readers_and_takes_batches(tmp_path: Path) -> None:
    """Readers get 503 and when to come back; /readyz says it; nothing says where the store is."""
    with contextlib.ExitStack() as database:
        url = database.enter_context(running_postgres()).create()
        with standing(tmp_path, database=url) as stand:
            one = Teller(stand)
            assert one.enrol().status == 200
            assert stand.ask("GET", "/v1/findings").status == 200
            database.close()
            check_without_store(stand, one)


def check_without_store(stand: Stand, one: Teller) -> None:
    """What a collector answers meanwhile."""
    answer = stand.ask("GET", "/v1/findings")
    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert answer.headers["retry-after"] == "5" and b"sql" not in answer.body.lower()
    assert stand.ask("GET", "/readyz", role=None).status == 503
    assert stand.ask("GET", "/healthz", role=None).status == 200
    assert one.tell().status == 200


def test_a_batch_of_another_content_type(stand: Stand, teller: Teller) -> None:
    """415 also on the path that goes before the framework."""
    data = teller.seal().data
    assert stand.ask("POST", "/v1/batches", data, Content_Type="application/json").status == 415
    assert stand.ask("POST", "/v1/batches", data, Content_Type=CONTENT_TYPE).status == 200
