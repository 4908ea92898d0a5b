"""`outrider findings` and its actions, put to a real collector as a person would."""

import json
from pathlib import Path
from typing import Any

import pytest
from api_stand import Stand, Teller, make_finding, make_process

from outrider_cli.findings import read_condition
from outrider_cli.main import main
from outrider_wire.errors import ConfigError


@pytest.fixture
def run(stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `outrider findings` with the triage token; exit code and what was said."""
    monkeypatch.setenv("OUTRIDER_COLLECTOR_URL", stand.url)
    monkeypatch.setenv("OUTRIDER_TOKEN", stand.tokens["triage"])
    monkeypatch.setenv("COLUMNS", "160")

    def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["findings", *words])
        return code, capsys.readouterr().out

    return command


def test_findings_are_listed_and_filtered(stand: Stand, teller: Teller, run: Any) -> None:
    """As a table with the beginning of ids, or as JSON a line."""
    teller.tell(make_finding("listed", severity="HIGH", process=make_process("/bin/listed")))
    found = stand.find("listed")
    code, said = run("--severity", "HIGH", "--rule", "listed")
    assert code == 0 and found["id"][:10] in said and "HIGH" in said
    code, said = run("--rule", "listed", "--json", "--fail-on-findings")
    assert (code, json.loads(said)["id"]) == (1, found["id"])
    assert run("--rule", "nothing", "--json", "--fail-on-findings") == (0, "")


def test_findings_are_decided_on(stand: Stand, teller: Teller, run: Any) -> None:
    """By the whole id or its beginning; what was done is said, and holds."""
    teller.tell(make_finding("decided"))
    name = stand.find("decided")["id"]
    assert json.loads(run("archive", name[:10], "--why", "known", "--json")[1]) == {"changed": [name]}
    run("assign", name, "--to", "ann")
    run("note", name, "seen before")
    shown = json.loads(run("show", name, "--json")[1])
    assert (shown["finding"]["state"], shown["finding"]["assignee"]) == ("archived", "ann")
    assert [each["said"] for each in shown["notes"]] == ["seen before"]
    assert json.loads(run("reopen", name, "--json")[1]) == {"changed": [name]}


def test_a_rule_is_made_and_taken_away(stand: Stand, teller: Teller, run: Any) -> None:
    """With conditions as a person writes them, applied at once where asked for."""
    teller.tell(make_finding("silenced", process=make_process("/usr/bin/backup")))
    stand.find("silenced")
    made = json.loads(
        run("suppress", "executable^=/usr/bin/back", "rule=silenced", "--why", "x", "--apply", "--json")[1]
    )
    assert [each["operator"] for each in made["conditions"]] == ["startswith", "="]
    assert stand.find("silenced")["state"] == "suppressed"
    assert made["number"] in [each["number"] for each in json.loads(run("suppressions", "--json")[1])["suppressions"]]
    assert json.loads(run("unsuppress", str(made["number"]), "--json")[1])["removed_at"]


def test_wrong_words_are_said(run: Any, monkeypatch: pytest.MonkeyPatch, stand: Stand, tmp_path: Path) -> None:
    """2 for what is wrong with the command, 77 for what the collector refuses."""
    assert run("archive", "zzzzzzzz")[0] == 2
    assert run("suppress", "nothing", "--why", "x")[0] == 2
    assert run("suppress", "nothing=1", "--why", "x")[0] == 77
    monkeypatch.setenv("OUTRIDER_TOKEN", stand.tokens["read"])
    assert run("archive", "0" * 32)[0] == 77


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("rule=x", ("rule", "=", "x")),
        ("rule!=x=y", ("rule", "!=", "x=y")),
        ("evidence.fd.name~=a b", ("evidence.fd.name", "contains", "a b")),
        ("executable*=/tmp/*", ("executable", "glob", "/tmp/*")),
        ("image^=", ("image", "startswith", "")),
    ],
)
def test_conditions_are_read(text: str, parts: tuple[str, str, str]) -> None:
    """A field, an operator, and everything behind it."""
    condition = read_condition(text)
    assert (condition.field, condition.operator, condition.value) == parts


@pytest.mark.parametrize("text", ["", "rule", "=x", "RULE=x"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    """With the fields there are."""
    with pytest.raises(ConfigError, match="executable"):
        read_condition(text)
