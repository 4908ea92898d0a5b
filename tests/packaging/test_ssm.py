"""The SSM document has the documented shape, and its script does what it says, whatever its parameters are."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from outrider_cdk.ssm import FOLDER

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "packaging" / "ssm" / "outrider.json").read_text()
DOCUMENT: dict[str, Any] = json.loads(TEXT)
(FETCH, INSTALL) = DOCUMENT["mainSteps"]
DEFAULTS = {name: parameter.get("default", "") for name, parameter in DOCUMENT["parameters"].items()}


def script(**parameters: str) -> str:
    """The commands as SSM would run them: parameters pasted in as text, the folder as given."""
    folder = parameters.pop("folder", FOLDER)
    text = "\n".join(INSTALL["inputs"]["runCommand"]).replace(FOLDER, folder)
    for name, value in {**DEFAULTS, **parameters}.items():
        text = text.replace("{{ %s }}" % name, value)  # noqa: UP031
    return text


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder as SSM leaves it, with an install.sh that writes down how it is called, and an `aws` beside it."""
    (tmp_path / "install.sh").write_text('printf "%s\\n" "$@" >called\n[ ! -e token ] || cp token seen\n')
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    aws.write_text("#!/bin/sh\necho the-token\n")
    aws.chmod(0o755)
    return tmp_path


def run(machine: Path, **parameters: str) -> subprocess.CompletedProcess[str]:
    """Run the script with sh, as SSM does."""
    environ = {"PATH": f"{machine / 'bin'}:/usr/bin:/bin"}
    command = ["sh", "-c", script(folder=str(machine), **parameters)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30)


def test_aws_takes_it() -> None:
    """CreateDocument's parameters hold, and the content is below the 64 KB that are allowed."""
    model = botocore.session.get_session().get_service_model("ssm").operation_model("CreateDocument")
    parameters = {
        "Name": "outrider",
        "Content": TEXT,
        "DocumentType": "Command",
        "DocumentFormat": "JSON",
        "TargetType": "/AWS::EC2::Instance",
    }
    assert ParamValidator().validate(parameters, model.input_shape).generate_report() == ""
    assert len(TEXT.encode()) < 64 * 1024


def test_it_has_the_shape_of_schema_2_2() -> None:
    """Only documented keys; steps of documented actions with names of their own, each for Linux alone."""
    assert set(DOCUMENT) == {"schemaVersion", "description", "parameters", "mainSteps"}
    assert DOCUMENT["schemaVersion"] == "2.2"
    for parameter in DOCUMENT["parameters"].values():
        assert set(parameter) <= {"type", "description", "default", "allowedValues", "allowedPattern"}
        assert parameter["type"] == "String"
    names = [step["name"] for step in DOCUMENT["mainSteps"]]
    assert len(names) == len(set(names)) and all(re.fullmatch(r"[a-zA-Z0-9_-]{3,128}", name) for name in names)
    for step in DOCUMENT["mainSteps"]:
        assert set(step) == {"action", "name", "precondition", "inputs"}
        assert step["precondition"] == {"StringEquals": ["platformType", "Linux"]}
    assert FETCH["action"] == "aws:downloadContent" and set(FETCH["inputs"]) == {
        *("sourceType", "sourceInfo", "destinationPath"),
    }
    assert INSTALL["action"] == "aws:runShellScript" and set(INSTALL["inputs"]) == {"timeoutSeconds", "runCommand"}


def test_every_parameter_is_used_and_every_use_is_one() -> None:
    """No value is asked for in vain, none is pasted that nobody gives; defaults are allowed."""
    used = set(re.findall(r"\{\{ (\w+) \}\}", TEXT))
    assert used == set(DOCUMENT["parameters"])
    for name, parameter in DOCUMENT["parameters"].items():
        allowed = parameter.get("allowedValues")
        if "default" in parameter:
            assert (
                parameter["default"] in allowed if allowed else re.search(parameter["allowedPattern"], DEFAULTS[name])
            )


@given(st.text())
def test_no_parameter_is_read_as_shell(value: str) -> None:
    """What a pattern lets through stands between single quotes and cannot leave them, nor the JSON it is in."""
    for parameter in DOCUMENT["parameters"].values():
        pattern = parameter.get("allowedPattern")
        if pattern and re.search(pattern, value):
            assert not set(value.rstrip("\n")) & set("'\"\\$`;|&<>(){}\n ")


def test_the_source_is_an_https_folder() -> None:
    """No other scheme, no file, no empty value."""
    pattern = DOCUMENT["parameters"]["Source"]["allowedPattern"]
    assert re.search(pattern, "https://s3.eu-central-1.example/bucket/outrider/")
    assert not [bad for bad in ("", "http://a/", "https://a/x.whl", "https://a/$(id)/") if re.search(pattern, bad)]
    assert json.loads(FETCH["inputs"]["sourceInfo"].replace("{{ Source }}", "https://a/b/")) == {"path": "https://a/b/"}


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not there")
@pytest.mark.parametrize("action", DOCUMENT["parameters"]["Action"]["allowedValues"])
def test_shellcheck_has_nothing_to_complain_of(action: str) -> None:
    """As plain sh, with parameters pasted in. SC2194: that the word of the case is constant is the point."""
    text = script(Action=action, CollectorUrl="https://collector.example:8440", TokenParameter="/outrider/token")
    command = ["shellcheck", "--shell=sh", "--exclude=SC2194,SC2157", "-"]
    done = subprocess.run(command, input=text + "\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_it_installs_with_a_token_and_leaves_none_behind(machine: Path) -> None:
    """install.sh is given the wheels, the collector and the token in a file, which is gone afterwards."""
    done = run(machine, CollectorUrl="https://collector.example:8440", TokenParameter="/outrider/token")
    assert done.returncode == 0, done.stderr
    words = ["--wheels", ".", "--collector", "https://collector.example:8440", "--token-file", "token"]
    assert (machine / "called").read_text().split() == words
    assert (machine / "seen").read_text() == "the-token\n"
    assert (machine / "seen").stat().st_mode & 0o077 == 0
    assert not (machine / "token").exists()


def test_it_installs_without_a_token(machine: Path) -> None:
    """Where none is named, AWS is not asked."""
    (machine / "bin" / "aws").write_text("#!/bin/sh\nexit 1\n")
    assert run(machine).returncode == 0
    assert "--token-file" not in (machine / "called").read_text()


def test_a_token_that_cannot_be_had_is_a_failure(machine: Path) -> None:
    """Nothing is installed that could not enrol, and the command fails."""
    (machine / "bin" / "aws").write_text("#!/bin/sh\nexit 255\n")
    assert run(machine, TokenParameter="/outrider/token").returncode != 0
    assert not (machine / "called").exists()
    assert not (machine / "token").exists()


@pytest.mark.parametrize(("action", "words"), [("Remove", ["--uninstall"]), ("Purge", ["--uninstall", "--purge"])])
def test_it_removes(machine: Path, action: str, words: list[str]) -> None:
    """The other actions are the script's own."""
    assert run(machine, Action=action).returncode == 0
    assert (machine / "called").read_text().split() == words


def test_a_failing_install_fails_the_command(machine: Path) -> None:
    """SSM shows success only for success."""
    (machine / "install.sh").write_text("exit 77\n")
    assert run(machine).returncode == 77
