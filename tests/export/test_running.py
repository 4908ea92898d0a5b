"""A real collector that exports: killed in the middle of it, with a target that hangs, and asked how it goes."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from api_stand import Stand, Teller, make_finding, standing, start_stand
from receivers import Post, Receiver, answer, hang, running_receiver, wait_until

from outrider_cli.main import main
from outrider_collector.cli import main as run_collector

KILLS = 4
EACH = 12
SECRET = "a-secret-of-the-tests"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes everything until it is told otherwise."""
    with running_receiver() as running:
        yield running


def hook(tmp_path: Path, receiver: Receiver, **changes: Any) -> dict[str, Any]:
    """An entry of the exports setting."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    return {"kind": "webhook", "url": receiver.url, "secret_file": str(secret), "begin": "all"} | changes


def slowly(post: Post, handler: BaseHTTPRequestHandler) -> None:
    """Takes it, but not at once: so a kill falls into a send."""
    time.sleep(0.02)
    answer(200)(post, handler)


def test_killed_in_the_middle_nothing_is_left_out(tmp_path: Path, receiver: Receiver) -> None:
    """What was under way may come again, under the same id; all else comes once, through every kill -9."""
    receiver.otherwise = slowly
    given = {"exports": json.dumps([hook(tmp_path, receiver)])}
    teller: Teller | None = None
    told = 0
    for _ in range(KILLS):
        stand = start_stand(tmp_path / "data", **given)
        if teller is None:
            teller = Teller(stand)
            assert teller.enrol().status == 200
        teller.stand = stand
        before = len(receiver.posts)
        assert teller.tell(*(make_finding(f"f{told + n}", f"title {told + n}") for n in range(EACH))).status == 200
        told += EACH
        wait_until(lambda more=before + 2: len(receiver.posts) > more)
        stand.process.kill()
        stand.process.wait()
    with standing(tmp_path / "data", **given) as stand:
        wait_until(lambda: len({post.json["finding"]["title"] for post in receiver.posts}) == told)
        stand.wait_for("/v1/exports", lambda said: said["exports"][0]["behind"] == 0)
    by_title: dict[str, set[str]] = {}
    for post in receiver.posts:
        by_title.setdefault(post.json["finding"]["title"], set()).add(post.headers["outrider-id"])
    assert all(len(ids) == 1 for ids in by_title.values())
    assert Counter(receiver.ids).most_common(1)[0][1] <= KILLS + 1
    assert len(receiver.posts) <= told + KILLS * EACH


def test_a_target_that_hangs_holds_nobody_up(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Others get their findings meanwhile; list, metrics and health say which one fails, and the end is quick."""
    lines = tmp_path / "lines.ndjson"
    with running_receiver() as stuck:
        stuck.otherwise = hang
        given = [
            hook(tmp_path, stuck, name="stuck", timeout_s=0.5),
            hook(tmp_path, receiver, name="well"),
            {"kind": "lines", "path": str(lines), "begin": "all", "format": "guardduty"},
        ]
        with standing(tmp_path / "data", exports=json.dumps(given)) as stand:
            teller = Teller(stand)
            assert teller.enrol().status == 200
            teller.tell(*(make_finding(f"f{n}", f"title {n}") for n in range(40)))
            wait_until(lambda: len(receiver.posts) == 40 and lines.exists() and lines.read_text().count("\n") == 40)
            wait_until(lambda: bool(stuck.posts))
            said = stand.wait_for("/v1/exports", lambda said: said["exports"][1]["failing_since"])
            assert [each["name"] for each in said["exports"]] == ["lines", "stuck", "well"]
            assert "no answer in time" in said["exports"][1]["error"] and said["exports"][1]["behind"] >= 40
            check_metrics(stand)
            check_command(stand, monkeypatch, capsys)


def check_metrics(stand: Stand) -> None:
    """Each export has its line."""
    text = stand.ask("GET", "/metrics").body.decode()
    assert 'outrider_collector_export_sent_total{export="well",kind="webhook"} 40' in text
    assert 'outrider_collector_export_failing{export="stuck",kind="webhook"} 1' in text


def check_command(stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`outrider exports list`."""
    monkeypatch.setenv("OUTRIDER_COLLECTOR_URL", stand.url)
    monkeypatch.setenv("OUTRIDER_TOKEN", "admin-of-tests")
    assert main(["exports", "list", "--fail-on-dead"]) == 1
    assert "stuck" in (said := capsys.readouterr().out) and "failing" in said
    assert main(["exports", "list", "--json"]) == 0
    assert [json.loads(line)["sent"] for line in capsys.readouterr().out.splitlines()] == [40, 0, 40]


def test_what_was_given_up_is_shown_and_tried_again(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the API and the command, with the reason; who may only read may not."""

    def picky(post: Post, handler: BaseHTTPRequestHandler) -> None:
        bad = b"no-thanks" in post.body
        answer(400 if bad else 200, body=b"no thanks" if bad else b"")(post, handler)

    receiver.otherwise = picky
    given = json.dumps([hook(tmp_path, receiver)])
    with standing(tmp_path / "data", exports=given) as stand:
        teller = Teller(stand)
        assert teller.enrol().status == 200
        teller.tell(make_finding("a", "fine"), make_finding("b", "no-thanks"))
        stand.wait_for("/v1/exports/webhook/dead", lambda said: said["dead"])
        monkeypatch.setenv("OUTRIDER_COLLECTOR_URL", stand.url)
        monkeypatch.setenv("OUTRIDER_TOKEN", "admin-of-tests")
        assert main(["exports", "dead", "webhook", "--json"]) == 0
        item = json.loads(capsys.readouterr().out)
        assert item["reason"] == "answered 400: no thanks" and item["finding"] == stand.find("no-thanks")["id"]
        assert main(["exports", "dead", "webhook"]) == 0 and item["finding"] in capsys.readouterr().out
        reader = stand.make_token("read")[0]
        assert stand.ask("POST", "/v1/exports/webhook/retry", {}, role=reader).status == 403
        assert stand.ask("POST", "/v1/exports/none/retry", {}).status == 404
        receiver.otherwise = answer(200)
        assert main(["exports", "retry", "webhook"]) == 2
        assert main(["exports", "retry", "webhook", item["finding"]]) == 0
        wait_until(lambda: len(receiver.posts) == 3)
        stand.wait_for("/v1/exports/webhook/dead", lambda said: not said["dead"])
        (change,) = stand.ask("GET", "/v1/audit?action=export.retry").json["changes"]
        assert change["subject"] == "webhook" and change["after"] == {"findings": 1}


def test_settings_that_do_not_hold_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """At the start, in one sentence."""
    monkeypatch.setenv("OUTRIDER_COLLECTOR_TOKEN", "bootstrap-of-tests")
    monkeypatch.setenv("OUTRIDER_COLLECTOR_EXPORTS", '[{"kind": "eventbridge", "buss": "x"}]')
    assert run_collector(["--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]) == 2
    assert "export 1 (eventbridge): unknown key 'buss'; did you mean 'bus'?" in capfd.readouterr().err
