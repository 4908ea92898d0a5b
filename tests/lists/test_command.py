"""`outrider lists`, put to a real collector as a person would."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_stand import Stand, standing

from outrider_cli.main import main

TOML = """
[[list]]
name = "bad-names"
from = "{folder}/names.txt"

[[list]]
name = "away"
from = "{folder}/nowhere.txt"
"""


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A collector with a list, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("lists")
    (folder / "names.txt").write_text("evil.example\nworse.example\nnot a name\n")
    (folder / "lists.toml").write_text(TOML.format(folder=folder))
    with standing(folder / "data", lists=str(folder / "lists.toml")) as running:
        running.tokens["read"] = running.make_token("read")[0]
        running.wait_for("/v1/lists", lambda said: len(said["sources"]) == 2)
        yield running


@pytest.fixture
def run(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs it with a token for reading; exit code and what was said."""
    monkeypatch.setenv("OUTRIDER_COLLECTOR_URL", stand.url)
    monkeypatch.setenv("OUTRIDER_TOKEN", stand.tokens["read"])
    monkeypatch.setenv("COLUMNS", "200")

    def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["lists", *words])
        return code, capsys.readouterr().out

    return command


def test_what_is_in_force_and_each_source_is_shown(run: Any) -> None:
    """In a line and a table, or as JSON a line."""
    code, said = run()
    first, _, *rows = said.splitlines()
    assert code == 0 and "2 domains, 0 networks, 0 digests" in first
    assert rows[0].split()[:3] == ["bad-names", "2", "1"]
    assert rows[1].split()[:3] == ["away", "0", "0"] and "nowhere.txt" in rows[1]
    listed = [json.loads(line) for line in run("--json")[1].splitlines()]
    assert [each["name"] for each in listed] == ["bad-names", "away"]


def test_one_source_is_shown_whole(run: Any) -> None:
    """With an example of what was skipped; one that there is not is misuse."""
    code, said = run("show", "bad-names")
    shown = json.loads(said)
    assert code == 0 and sum(shown["skipped"].values()) == 1 and shown["examples"]
    assert run("show", "unheard-of")[0] == 2


def test_what_fails_is_told_by_the_exit_code(run: Any) -> None:
    """Where that is asked for."""
    assert run("--fail-on-error")[0] == 1
    assert run("show", "bad-names", "--fail-on-error")[0] == 0
