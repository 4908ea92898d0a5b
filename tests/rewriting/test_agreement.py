"""What the rewriter writes is what the others read: the sidecar's settings, the image, ECS and the page of options."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest
from task_definitions import complaints, ec2, fargate, options

from outrider_cdk.rewriting import guard
from outrider_cdk.rewriting.checks import ACCEPTABLE, CHECKS
from outrider_cdk.rewriting.options import VERSION
from outrider_cdk.rewriting.settings import NAMES, OFF, nearest
from outrider_cdk.rewriting.sidecar import HEALTH_CHECK, JOURNAL_DIR
from outrider_sidecar import settings as sidecars
from outrider_sidecar.modes.choice import choose_mode
from outrider_sidecar.settings import Settings, load

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("task", [fargate(), fargate(pidMode="task"), ec2(pidMode="host"), ec2(networkMode="bridge")])
def test_the_sidecar_reads_its_settings(task: dict[str, object]) -> None:
    """Its variables are read without complaint, and choose a mode that starts where it is."""
    guarded = guard(task, options(settings={"release": "/usr/bin/gdb"}, enrol="token"))
    made = guarded.definition["containerDefinitions"][-1]
    environ = {entry["name"]: entry["value"] for entry in made["environment"]}
    environ |= {entry["name"]: "a-secret" for entry in made["secrets"]}
    settings, _ = load(environ)
    assert settings.token == "a-secret" and settings.release == ("/usr/bin/gdb",)
    assert settings.stop_timeout_s == made["stopTimeout"]
    assert settings.journal_dir == made["mountPoints"][0]["containerPath"] == JOURNAL_DIR
    on_host = task.get("pidMode") == "host"
    assert choose_mode(settings, on_host=on_host) == ("host" if on_host else "task")


def test_the_settings_are_the_sidecars() -> None:
    """None is missing, none is made up, and a switch is off in the same words."""
    assert set(Settings.__struct_fields__) == NAMES
    assert sidecars._OFF == OFF
    assert nearest("colector_url") == "collector_url" and nearest("zzz") == ""


def test_the_health_check_is_the_images() -> None:
    """ECS does not read the image's, so that the definition has it, too."""
    (line,) = re.findall(r"^HEALTHCHECK (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    options_, _, command = line.partition(" CMD ")
    told = dict(re.findall(r"--([a-z-]+)=(\d+)", options_))
    assert json.loads(command) == HEALTH_CHECK["command"][1:]  # type: ignore[index]
    assert {key: int(value) for key, value in told.items()} == {
        "interval": HEALTH_CHECK["interval"],
        "timeout": HEALTH_CHECK["timeout"],
        "retries": HEALTH_CHECK["retries"],
        "start-period": HEALTH_CHECK["startPeriod"],
    }


def test_the_version_is_the_packages() -> None:
    """The label says what made it."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


@pytest.mark.parametrize("task", [fargate(), ec2(), ec2(pidMode="host"), fargate(volumes=[], pidMode="task")])
def test_ecs_takes_it(task: dict[str, object]) -> None:
    """botocore's model of RegisterTaskDefinition has nothing to complain of."""
    for wish in (options(), options(depends_on=True, cpu=64, settings={"packets": "off"})):
        assert complaints("RegisterTaskDefinition", guard(task, wish).definition) == ""


def test_every_check_is_in_the_table() -> None:
    """A check that is written and not listed would never be asked."""
    folder = ROOT / "cdk/outrider_cdk/rewriting/checks"
    written = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r"^def (check_\w+)\(", path.read_text(), re.MULTILINE)
    }
    assert written - {check.__name__ for check in CHECKS} == {"check_service"}


def codes_of(path: Path) -> set[str]:
    """The codes in calls that make a problem: the second argument, or the one called `code`."""
    found = set()
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and re.search(r"\b_?(error|warning|note|Problem)\b", ast.unparse(call.func)):
            values = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "code")]
            found |= {value.value for value in values if isinstance(value, ast.Constant)}
    return found


def test_the_page_explains_every_code() -> None:
    """Whatever the rewriter may say is in docs/deploy.md, and what may be accepted is marked there."""
    told = set().union(*(codes_of(path) for path in (ROOT / "cdk/outrider_cdk/rewriting").rglob("*.py")))
    page = (ROOT / "docs/deploy.md").read_text().partition("## What it says")[2]
    assert len(told) > 50
    assert told - set(re.findall(r"`([a-z0-9-]+)`", page)) == set()
    assert set(re.findall(r"`([a-z0-9-]+)` \*", page)) == ACCEPTABLE
