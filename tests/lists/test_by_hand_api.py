"""Lists by hand through a real collector, as an operator changes them and as agents hear of it."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from api_stand import ROLES, Stand, Teller, standing

from outrider_cli.main import main
from outrider_wire.enrolment import EnrolAnswer, Receipt
from outrider_wire.lists import open_lists
from outrider_wire.listtable import ListTable

WITHIN_S = 20.0


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A collector without sources, with a token of each role."""
    with standing(tmp_path_factory.mktemp("stand")) as running:
        for role in ROLES:
            running.tokens[role] = running.make_token(role)[0]
        yield running


class Hearer:
    """An agent that takes the lists that its receipts announce, as a sidecar does."""

    def __init__(self, stand: Stand) -> None:
        self.teller = Teller(stand)
        answer = msgspec.json.decode(self.teller.enrol().body, type=EnrolAnswer)
        self.key = answer.list_key

    def hear(self, stand: Stand | None = None) -> ListTable | None:
        """What is in force by the next receipt, of this collector or of another one."""
        if stand is not None:
            self.teller.stand = stand
        receipt = msgspec.json.decode(self.teller.tell().body, type=Receipt)
        if receipt.lists is None:
            return None
        data = self.teller.stand.ask("GET", f"/v1/lists/{receipt.lists.digest}", role=None).body
        return open_lists(data, self.key).table

    def wait(self, holds: Callable[[ListTable | None], bool], stand: Stand | None = None) -> None:
        """Until what it hears is as wanted."""
        deadline_s = time.monotonic() + WITHIN_S
        while not holds(self.hear(stand)):
            assert time.monotonic() < deadline_s
            time.sleep(0.1)


def lists_domain(name: str, category: str = "") -> Callable[[ListTable | None], bool]:
    """Whether a name is listed so, or with no category given is not at all."""

    def holds(table: ListTable | None) -> bool:
        found = table.find_domain(name) if table is not None else None
        return (found.category if found is not None else "") == category

    return holds


@pytest.fixture
def run(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[dict[str, Any]]]:
    """Runs `outrider lists … --json` as who decides on findings; the lines it says."""
    monkeypatch.setenv("OUTRIDER_COLLECTOR_URL", stand.url)
    monkeypatch.setenv("OUTRIDER_TOKEN", stand.tokens["triage"])

    def command(*words: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main(["lists", "--json", *words]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return command


def test_an_agent_hears_of_what_is_listed_and_taken_off(stand: Stand, run: Any) -> None:
    """Without a restart of anything; each change says who, when and why in the audit log."""
    one = Hearer(stand)
    (made,) = run("add", "ours", "hxxps://Evil[.]example/x", "--category", "c2", "--why", "case 7", "--expires", "90d")
    assert (made["kind"], made["value"], made["category"]) == ("domain", "evil.example", "c2")
    one.wait(lists_domain("evil.example", "c2"))
    assert [each["value"] for each in run("entries", "ours")] == ["evil.example"]
    assert [each["name"] for each in run()] == ["hand:ours"]
    run("remove", "ours", "evil.example", "--why", "case closed")
    one.wait(lists_domain("evil.example"))
    assert run("entries") == []
    removed, added = stand.ask("GET", "/v1/audit?subject=evil.example").json["changes"]
    assert (removed["action"], added["action"]) == ("list.remove", "list.add")
    assert removed["before"] == added["after"] == made
    assert (added["before"], added["detail"]) == (None, {"list": "ours", "why": "case 7"})
    assert added["who"] == made["who"] and added["at"] == made["made_at"]


def test_what_was_listed_outlives_the_collector_and_holds_at_the_next(tmp_path: Path, postgres: Any) -> None:
    """Two collectors on one store announce it alike, whichever was told; a third that starts later does, too."""
    settings = {"database": postgres.create(), "lists_key": "5a" * 32}
    with standing(tmp_path / "a", **settings) as first, standing(tmp_path / "b", **settings) as second:
        one = Hearer(first)
        added = first.ask("POST", "/v1/list-entries", {"list": "ours", "values": ["evil.example"], "trusted": True})
        assert added.status == 201
        for stand in (first, second):
            one.wait(lambda table: table is not None and bool(table.find_domain("evil.example")), stand)
        removed = second.ask("POST", "/v1/list-entries/remove", {"list": "ours", "values": ["evil.example"]})
        assert removed.status == 200
        assert second.ask("POST", "/v1/list-entries", {"list": "ours", "values": ["worse.example"]}).status == 201
        one.wait(lists_domain("worse.example", "malicious"), first)
        one.wait(lists_domain("evil.example"), first)
    with standing(tmp_path / "c", **settings) as third:
        table = one.hear(third)
        assert lists_domain("worse.example", "malicious")(table)
        kept = third.ask("GET", "/v1/list-entries").json["entries"]
        assert [each["value"] for each in kept] == ["worse.example"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": ["evil.example", "no name"]}, "values[1] 'no name': no domain"),
        ({"values": ["10.0.0.0/7"]}, "values[0] '10.0.0.0/7': a network wider than /8"),
        ({"values": []}, "$.values"),
        ({"list": "a b"}, "list: 'a b': a name is"),
        ({"list": "ours\n"}, "list: 'ours\\n': a name is"),
        ({"category": "C2!"}, "category: 'C2!' is no word"),
        ({"category": "trusted"}, "for trust give `trusted`"),
        ({"category": "c2", "trusted": True}, "leave out one of the two"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at: 2001-01-01T00:00:00Z has passed"),
        ({"expires_at": "soon"}, "time: "),
        ({"ends": "never"}, "ends"),
    ],
)
def test_what_makes_no_sense_is_refused(stand: Stand, changes: dict[str, Any], said: str) -> None:
    """With what is wrong and where; of such a request nothing is listed."""
    refused = stand.ask("POST", "/v1/list-entries", {"list": "bad", "values": ["evil.example"], **changes})
    assert (refused.status, refused.code) == (400, "bad-request")
    assert said in refused.json["detail"]
    assert stand.ask("GET", "/v1/list-entries?list=bad").json["entries"] == []


def test_what_is_not_listed_cannot_be_taken_off(stand: Stand) -> None:
    """It is said, and what else was named stays."""
    stand.ask("POST", "/v1/list-entries", {"list": "kept", "values": ["a.example", "198.51.100.7"]})
    refused = stand.ask("POST", "/v1/list-entries/remove", {"list": "kept", "values": ["a.example", "b.example"]})
    assert (refused.status, refused.code) == (404, "not-found")
    assert "'kept' has no b.example" in refused.json["detail"]
    first = stand.ask("GET", "/v1/list-entries?list=kept&limit=1").json
    assert [each["value"] for each in first["entries"]] == ["a.example"]
    after = stand.ask("GET", f"/v1/list-entries?list=kept&limit=1&cursor={first['next']}").json
    assert [each["value"] for each in after["entries"]] == ["198.51.100.7/32"]


def test_the_command_says_what_is_wrong(run: Any) -> None:
    """What the collector refuses is told; an end that is none does not get there."""
    with pytest.raises(SystemExit):
        main(["lists", "add", "ours", "evil.example", "--trusted", "--category", "c2"])
    assert main(["lists", "add", "ours", "no name"]) != 0
    assert main(["lists", "add", "ours", "evil.example", "--expires", "soon"]) == 2
