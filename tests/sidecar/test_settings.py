"""Settings: from file and environment, each with its source; what is not known is refused with a suggestion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.settings import ExpectedDrift, load, token_of
from outrider_wire.errors import ConfigError


def test_defaults_hold_and_say_so():
    """Without anything said every value is the default and is labelled so."""
    settings, sources = load({})
    assert settings.journal_dir == "/outrider"
    assert {source.source for source in sources} == {"default"}


def test_the_environment_wins_over_the_file(tmp_path):
    """Both name a value: the environment's counts, and is named as the source."""
    file = tmp_path / "outrider.toml"
    file.write_text('heartbeat_s = 5.0\njournal_dir = "/from/file"\n[[expected_drift]]\ndirectory = "/srv"\n')
    settings, sources = load({"OUTRIDER_CONFIG": str(file), "OUTRIDER_HEARTBEAT_S": "2"})
    assert (settings.heartbeat_s, settings.journal_dir) == (2.0, "/from/file")
    assert settings.expected_drift == (ExpectedDrift(directory="/srv"),)
    said = {source.name: source.source for source in sources}
    assert said["heartbeat_s"] == "environment OUTRIDER_HEARTBEAT_S"
    assert said["journal_dir"] == str(file)
    assert said["token"] == "default"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OUTRIDER_HARTBEAT_S": "2"}, "did you mean OUTRIDER_HEARTBEAT_S?"),
        ({"OUTRIDER_HEARTBEAT_S": "soon"}, "OUTRIDER_HEARTBEAT_S"),
        ({"OUTRIDER_HEARTBEAT_S": "0"}, "must be greater than 0"),
        ({"OUTRIDER_HEARTBEAT_S": "nan"}, "must be greater than 0"),
        ({"OUTRIDER_STOP_TIMEOUT_S": "inf"}, "must have an end"),
        ({"OUTRIDER_RESPOND_BUDGET_MS": "500000"}, "at most 5000"),
        ({"OUTRIDER_ATTACH": "perhaps"}, "neither on nor off"),
        ({"OUTRIDER_COLLECTOR_URL": "collector:80"}, "must start with https://"),
        ({"OUTRIDER_TOKEN": "a", "OUTRIDER_TOKEN_FILE": "/b"}, "keep one"),
        ({"OUTRIDER_EXPECTED_DRIFT": "{"}, "OUTRIDER_EXPECTED_DRIFT"),
        ({"OUTRIDER_EXPECTED_DRIFT": '[{"folder": "/x"}]'}, "OUTRIDER_EXPECTED_DRIFT"),
        ({"OUTRIDER_CONFIG": "/no/such/file"}, "/no/such/file"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(environ, said):
    """A misspelt switch that was silently ignored would leave somebody unguarded."""
    with pytest.raises(ConfigError, match=r".*") as caught:
        load(environ)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hartbeat_s = 1", "did you mean heartbeat_s?"),
        ("heartbeat_s = 'x'", "heartbeat_s"),
        ("heartbeat_s = ", "not TOML"),
        ("rules = 7", "rules"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, said):
    """The file's name stands in the message."""
    file = tmp_path / "outrider.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load({}, file=file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def test_other_parts_variables_are_left_alone():
    """The collector's and the lab's variables begin alike and are not ours."""
    load({"OUTRIDER_COLLECTOR_LISTEN": "0.0.0.0:1", "OUTRIDER_LAB_X": "1", "OUTRIDER_NO_SKIPS": "1"})


def test_a_token_comes_from_its_file(tmp_path):
    """A file with the token, its line end taken off; one that cannot be read is named."""
    file = tmp_path / "token"
    file.write_text("secret\n")
    assert token_of(load({"OUTRIDER_TOKEN_FILE": str(file)})[0]) == "secret"
    with pytest.raises(ConfigError, match="gone"):
        token_of(load({"OUTRIDER_TOKEN_FILE": str(tmp_path / "gone")})[0])


@given(st.dictionaries(st.from_regex(r"OUTRIDER_[A-Z_]{1,20}", fullmatch=True), st.text(max_size=20), max_size=4))
def test_there_is_no_third_way(environ):
    """Any environment is settings or a ConfigError."""
    try:
        load(environ)
    except ConfigError as error:
        assert str(error)
