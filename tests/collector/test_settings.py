"""Settings: from the environment and arguments, refused with a hint."""

from pathlib import Path

import pytest

from outrider_collector.cli import main, read_arguments
from outrider_collector.settings import load_settings
from outrider_wire.errors import ConfigError

TOKEN = {"OUTRIDER_COLLECTOR_TOKEN": "12345678"}


def test_arguments_win_over_the_environment(tmp_path: Path) -> None:
    """And no reader is given a token that nobody set."""
    environment = TOKEN | {"OUTRIDER_COLLECTOR_LISTEN": "0.0.0.0:1", "OUTRIDER_COLLECTOR_BODY_TIMEOUT_S": "2.5"}
    settings = load_settings(environment, read_arguments(["--listen", "[::1]:2", "--data", str(tmp_path)]))
    assert (settings.address, settings.body_timeout_s, settings.data) == (("::1", 2), 2.5, tmp_path)
    assert (settings.read_token, settings.admin_token) == ("", "")


def test_the_token_may_lie_in_a_file(tmp_path: Path) -> None:
    """Its surrounding blanks do not count."""
    (tmp_path / "token").write_text("  from-a-file \n")
    assert load_settings({}, {"token_file": str(tmp_path / "token")}).token == "from-a-file"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "bootstrap token"),
        ({"OUTRIDER_COLLECTOR_TOKEN": "short"}, "bootstrap token"),
        ({"OUTRIDER_COLLECTOR_TOKEN_FILE": "/nonexistent"}, "cannot be read"),
        (TOKEN | {"OUTRIDER_COLLECTOR_LISTNE": "x"}, "did you mean OUTRIDER_COLLECTOR_LISTEN"),
        (TOKEN | {"OUTRIDER_COLLECTOR_ADMIN_TOKEN": "12345678"}, "token of its own"),
        (TOKEN | {"OUTRIDER_COLLECTOR_READ_TOKEN": "short"}, "READ_TOKEN must have"),
        (TOKEN | {"OUTRIDER_COLLECTOR_MAX_CONNECTIONS": "many"}, "collector settings"),
    ],
)
def test_wrong_settings_are_refused_with_words(environment: dict[str, str], words: str) -> None:
    """Each says what is wrong with which."""
    with pytest.raises(ConfigError, match=words):
        load_settings(environment)


@pytest.mark.parametrize("listen", ["", "host", "host:port", "host:99999", ":²"])
def test_an_address_must_be_one(listen: str) -> None:
    """HOST:PORT or nothing."""
    with pytest.raises(ConfigError, match="HOST:PORT"):
        assert load_settings(TOKEN, {"listen": listen}).address


def test_misuse_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With one line that says why; also when the place for the data is none."""
    monkeypatch.delenv("OUTRIDER_COLLECTOR_TOKEN", raising=False)
    assert main(["--listen", "127.0.0.1:0"]) == 2
    (tmp_path / "file").touch()
    assert main(["--token", "12345678", "--data", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(line.startswith("outrider collector: ") for line in said)
