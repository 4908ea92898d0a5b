"""The stream of findings: live, resumed, filtered, bounded, and ended with the collector."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from api_stand import Stand, Teller, make_finding, standing

MAX_STREAMS = 64


class Reader:
    """An open stream."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    def next(self) -> tuple[int, Any]:
        """The next finding with the number of its change. Raises EOFError where the stream ends."""
        fields: dict[str, str] = {}
        while True:
            line = self._response.readline().decode()
            if not line:
                raise EOFError
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                assert fields["event"] == "finding"
                return int(fields["id"]), json.loads(fields["data"])


@contextmanager
def reading(stand: Stand, query: str = "", **headers: str) -> Iterator[Reader]:
    """A stream as a reader has it."""
    connection = http.client.HTTPConnection(stand.host, stand.port, timeout=10.0)
    sent = {"Authorization": f"Bearer {stand.tokens['read']}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    connection.request("GET", f"/v1/findings/stream{query}", headers=sent)
    response = connection.getresponse()
    assert (response.status, response.getheader("content-type")) == (200, "text/event-stream; charset=utf-8")
    try:
        yield Reader(response)
    finally:
        connection.close()


def test_findings_come_as_they_are_told(stand: Stand, teller: Teller) -> None:
    """Without asking again; what was there before does not; what is done to one comes, too."""
    teller.tell(make_finding("before"))
    stand.find("before")
    with reading(stand) as reader:
        teller.tell(make_finding("live"))
        number, found = reader.next()
        assert (found["title"], found["count"], found["change"]) == ("live", 1, number)
        stand.ask("POST", "/v1/triage/archive", {"ids": [found["id"]]})
        later, changed = reader.next()
        assert (changed["id"], changed["state"]) == (found["id"], "archived") and later > number


def test_a_stream_goes_on_where_it_ended(stand: Stand, teller: Teller) -> None:
    """Last-Event-ID brings all that changed since, each once as it is now, and then what comes."""
    with reading(stand) as reader:
        teller.tell(make_finding("first"))
        number, _ = reader.next()
    teller.tell(make_finding("missed-1"), make_finding("missed-2"))
    stand.find("missed-2")
    with reading(stand, Last_Event_ID=str(number)) as reader:
        assert [reader.next()[1]["title"] for _ in range(2)] == ["missed-1", "missed-2"]
        teller.tell(make_finding("then"))
        assert reader.next()[1]["title"] == "then"


def test_a_stream_from_the_beginning_has_more_than_a_page(stand: Stand, teller: Teller) -> None:
    """All of many, in the order of their changes."""
    teller.tell(*(make_finding(f"many-{n}", type="Many:Runtime/X") for n in range(250)))
    stand.find("many-249")
    with reading(stand, "?type=Many:", Last_Event_ID="0") as reader:
        seen = [reader.next() for _ in range(250)]
    assert sorted(seen, key=lambda each: each[0]) == seen
    assert {each["title"] for _, each in seen} == {f"many-{n}" for n in range(250)}


def test_a_filtered_stream_has_only_what_passes(stand: Stand, teller: Teller) -> None:
    """By severity, type and the rest."""
    with reading(stand, "?severity=HIGH&type=Wanted:&rule=loud") as reader:
        teller.tell(
            make_finding("quiet", type="Wanted:Runtime/X"),
            make_finding("other", severity="HIGH"),
            make_finding("loud", type="Wanted:Runtime/X", severity="HIGH"),
        )
        assert reader.next()[1]["title"] == "loud"


@pytest.mark.parametrize("value", ["x", "-1", "1e3", "9" * 19, "²"])
def test_a_wrong_place_is_refused(stand: Stand, value: str) -> None:
    """400, no stream."""
    answer = stand.ask("GET", "/v1/findings/stream", Last_Event_ID=value.encode().decode("latin-1"))
    assert (answer.status, answer.code) == (400, "bad-request")


def test_streams_are_bounded_and_let_go(stand: Stand) -> None:
    """One too many is told to come later; when others have gone it may."""
    held = [reading(stand) for _ in range(MAX_STREAMS)]
    for each in held:
        each.__enter__()
    assert stand.ask("GET", "/v1/findings/stream").status == 429
    assert f"outrider_collector_streams {MAX_STREAMS}\n" in stand.ask("GET", "/metrics").body.decode()
    for each in held:
        each.__exit__(None, None, None)
    deadline = time.monotonic() + 25.0
    while "outrider_collector_streams 0\n" not in stand.ask("GET", "/metrics").body.decode():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_streams_end_with_the_collector(tmp_path: Path) -> None:
    """At once: a reader that listens keeps nobody from stopping."""
    with standing(tmp_path) as stand:
        stand.tokens["read"] = stand.make_token("read")[0]
        with reading(stand) as reader:
            began = time.monotonic()
            stand.process.terminate()
            with pytest.raises(EOFError):
                reader.next()
            assert stand.process.wait(10.0) == 0
            assert time.monotonic() - began < 4.0
