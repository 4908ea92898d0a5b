"""Delivery: to a receiver that is as strict as falcosidekick, through its failures, and never in the engine's way."""

import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from receivers import wait_until

from outrider_sidecar.falco_output import FalcoSink, Poster
from outrider_sidecar.settings import load
from outrider_wire.errors import ConfigError
from outrider_wire.findings import Finding


def numbered(finding: Finding, number: int) -> Finding:
    return msgspec.structs.replace(finding, title=str(number), description=str(number))


def test_every_finding_reaches_the_receiver_in_order(receiver: Any, finding: Finding) -> None:
    """A strict receiver has all of them, over one address, and objects to none."""
    sink = FalcoSink([receiver.url], hostname="web-1")
    for number in range(50):
        sink.finding(numbered(finding, number))
    sink.close(deadline_s=10)
    assert [alert["message"] for alert in receiver.alerts] == [str(number) for number in range(50)]
    assert not receiver.objections
    (status,) = sink.status().values()
    assert status == {"sent": 50, "dropped": {}, "error": ""}


def test_a_receiver_that_fails_is_tried_again(receiver: Any, finding: Finding) -> None:
    """503 and 429 mean later; nothing is lost or sent twice once it answers."""
    receiver.answers = [503, 429, 500]
    poster = Poster(receiver.url, jitter=lambda: 0.0)
    sink = FalcoSink([], hostname="h")
    sink._posters.append(poster)
    sink.finding(numbered(finding, 1))
    sink.finding(numbered(finding, 2))
    receiver.wait_for(lambda: len(receiver.alerts) == 2)
    sink.close(deadline_s=5)
    assert [alert["message"] for alert in receiver.alerts] == ["1", "2"]
    assert receiver.asked == 5
    assert not poster.dropped


def test_a_refused_alert_is_dropped_counted_and_does_not_hold_up_the_next(receiver: Any, finding: Finding) -> None:
    """400 is final for one alert and no other."""
    receiver.answers = [400]
    sink = FalcoSink([receiver.url], hostname="h")
    sink.finding(numbered(finding, 1))
    sink.finding(numbered(finding, 2))
    sink.close(deadline_s=10)
    assert [alert["message"] for alert in receiver.alerts] == ["2"]
    (status,) = sink.status().values()
    assert (status["sent"], status["dropped"]) == (1, {"refused": 1})


def test_the_engine_never_waits_for_a_receiver_that_stands_still(receiver: Any) -> None:
    """With a full queue the newest alerts are dropped and counted, at once."""
    receiver.held.clear()
    poster = Poster(receiver.url, max_queued=10)
    start = time.monotonic()
    for _ in range(500):
        poster.post(b"{}")
    assert time.monotonic() - start < 1.0
    poster.close(deadline_s=0.2)
    assert poster.dropped["full"] >= 489
    assert poster.dropped["full"] + poster.dropped["unsent"] <= 500
    receiver.held.set()


def test_nobody_there_is_told_and_counted_at_the_end() -> None:
    """Where nobody listens, what waits is counted as unsent, and the end comes in time."""
    poster = Poster("http://127.0.0.1:9")
    poster.post(b"{}")
    poster.post(b"{}")
    start = time.monotonic()
    poster.close(deadline_s=0.3)
    assert time.monotonic() - start < 3
    assert poster.dropped["unsent"] == 2
    assert "refused" in poster.last_error


def test_a_receiver_that_comes_back_gets_what_waited(make_receiver: Callable[..., Any], finding: Finding) -> None:
    """A connection that was closed between two alerts is made anew."""
    receiver = make_receiver()
    sink = FalcoSink([receiver.url], hostname="h")
    sink.finding(numbered(finding, 1))
    (poster,) = sink._posters
    wait_until(lambda: poster.sent == 1)  # the answer is read: shut sooner, the first alert would rightly come again
    poster._connection.sock.shutdown(2)
    sink.finding(numbered(finding, 2))
    receiver.wait_for(lambda: len(receiver.alerts) == 2)
    sink.close(deadline_s=5)
    assert [alert["message"] for alert in receiver.alerts] == ["1", "2"]


def test_tls_needs_an_authority_it_was_told_of(
    make_receiver: Callable[..., Any], authority: tuple[Path, ssl.SSLContext], finding: Finding
) -> None:
    """With the CA file alerts arrive; without it nothing is sent to a stranger."""
    ca_file, context = authority
    receiver = make_receiver(context=context)
    url = f"https://127.0.0.1:{receiver.port}"
    stranger = FalcoSink([url], hostname="h")
    stranger.finding(finding)
    stranger.close(deadline_s=1)
    assert not receiver.alerts
    (status,) = stranger.status().values()
    assert "CERTIFICATE_VERIFY_FAILED" in status["error"]
    known = FalcoSink([url], hostname="h", ca_file=str(ca_file))
    known.finding(finding)
    known.close(deadline_s=10)
    assert len(receiver.alerts) == 1


def test_files_and_standard_output_get_one_line_each(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], finding: Finding
) -> None:
    """Lines are whole JSON objects, appended."""
    path = tmp_path / "alerts.json"
    sink = FalcoSink(["-", str(path)], hostname="h")
    sink.finding(numbered(finding, 1))
    sink.finding(numbered(finding, 2))
    sink.close(deadline_s=1)
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["1", "2"]
    assert capfdbinary.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("alerts.json", "absolute path"),
        ("-,ftp://x/", "absolute path"),
    ],
)
def test_a_target_that_cannot_be_is_refused_with_the_settings(value: str, message: str) -> None:
    """Before anything starts, and by name."""
    with pytest.raises(ConfigError, match=message):
        load({"OUTRIDER_FALCO_OUTPUT": value})


@pytest.mark.parametrize("url", ["http://", "http://host:port/", "https://u:p@host/"])
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    """No host, no number for a port, a password in the address."""
    with pytest.raises(ConfigError, match="falco_output"):
        FalcoSink([url], hostname="h")


def test_a_ca_file_that_is_not_there_is_refused() -> None:
    """By name, before anything starts."""
    with pytest.raises(ConfigError, match="falco_ca_file"):
        FalcoSink(["https://host/"], hostname="h", ca_file="/nowhere")


def test_the_settings_take_a_list() -> None:
    """Targets are divided by commas."""
    settings, _ = load({"OUTRIDER_FALCO_OUTPUT": "-,/a/b,http://h:1/", "OUTRIDER_HOSTNAME": "web"})
    assert settings.falco_output == ("-", "/a/b", "http://h:1/")
    assert settings.hostname == "web"
