"""The examples under task-defs/: AWS takes them, cfn-lint finds nothing, the README says what is said of each."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from task_definitions import complaints

from outrider_cdk.examples import EXAMPLES, cloudformation
from outrider_cdk.rewriting import unguard
from outrider_sidecar.settings import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "task-defs"


def read(name: str, folder: str) -> dict[str, Any]:
    """A committed definition. That it is what the code makes is held by the test of all committed documents."""
    return dict(json.loads((FOLDER / folder / f"{name}.json").read_text()))


@pytest.mark.parametrize("name", EXAMPLES)
def test_aws_takes_it_before_and_after(name: str) -> None:
    """Parameters of RegisterTaskDefinition: known names, right types, nothing missing."""
    assert complaints("RegisterTaskDefinition", read(name, "before")) == ""
    assert complaints("RegisterTaskDefinition", read(name, "after")) == ""


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_one_leads_back_to_the_other(name: str) -> None:
    """The sidecar taken out of what is committed gives what is committed, down to the order of keys."""
    assert json.dumps(unguard(read(name, "after")).definition) == json.dumps(read(name, "before"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_says_what_is_said_of_it(name: str) -> None:
    """Its row in the README links both files, and names every warning that the rewriter gives."""
    rows = [line for line in (FOLDER / "README.md").read_text().splitlines() if f"](after/{name}.json)" in line]
    assert len(rows) == 1 and f"](before/{name}.json)" in rows[0]
    warned = {problem.code for problem in EXAMPLES[name].guarded().problems if problem.severity == "warning"}
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", rows[0])) == warned


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_sidecar_reads_its_settings(name: str) -> None:
    """Its variables are settings, and the journal is where it is told to be."""
    (sidecar,) = [c for c in read(name, "after")["containerDefinitions"] if c["name"] == "outrider"]
    environ = {entry["name"]: entry["value"] for entry in sidecar["environment"]}
    environ |= {entry["name"]: "a-secret" for entry in sidecar.get("secrets", ())}
    settings, _ = load(environ)
    assert settings.journal_dir == sidecar["mountPoints"][0]["containerPath"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_sidecar_has_what_it_needs_and_the_others_nothing(name: str) -> None:
    """SYS_PTRACE and the journal are the sidecar's alone, and its end is not the task's."""
    task = read(name, "after")
    *others, sidecar = task["containerDefinitions"]
    assert task["pidMode"] == read(name, "before").get("pidMode", "task")
    assert sidecar["linuxParameters"]["capabilities"]["add"] == ["SYS_PTRACE"] and not sidecar["essential"]
    assert not [word for word in ("SYS_PTRACE", "outrider-journal", "OUTRIDER_") if word in json.dumps(others)]


def test_the_template_is_guarded_in_its_text() -> None:
    """Every line of it is there unchanged and in order, comments and short tags included; what came in is ours."""
    before, after = cloudformation.BEFORE.splitlines(), cloudformation.after().splitlines()
    rest = iter(after)
    assert all(line in rest for line in before)
    assert len(after) > len(before) + 30


def test_cfn_lint_finds_nothing() -> None:
    """No error and no warning by others' rules for CloudFormation; its informational rules ask for other things."""
    from cfnlint.api import lint_all

    found = lint_all((FOLDER / "cloudformation/after.yaml").read_text())
    assert [str(match) for match in found if not match.rule.id.startswith("I")] == []


def test_terraforms_text_says_the_same() -> None:
    """The lists and objects of both snippets, read as what they are: JSON with other signs."""
    after = _containers("after")
    assert after[:1] == _containers("before")
    expected = read("web-service", "after")["containerDefinitions"][1]
    told = {entry["name"]: entry["value"] for entry in after[1]["environment"]}
    assert told["OUTRIDER_COLLECTOR_URL"] == "var.outrider_collector"
    for field in ("memory", "healthCheck", "linuxParameters", "restartPolicy", "mountPoints", "dockerLabels"):
        assert after[1][field] == expected[field]
    text = (FOLDER / "terraform/after.tf").read_text()
    assert re.search(r'pid_mode +=  *"task"', text) and 'name = "outrider-journal"' in text


def _containers(name: str) -> Any:
    """What jsonencode is given, by way of YAML's brackets, which take trailing commas and plain words."""
    text = (FOLDER / f"terraform/{name}.tf").read_text()
    inner = text[text.index("jsonencode(") + len("jsonencode(") : text.rindex("\n  ])") + 4]
    lines = [re.sub(r'^(\s*)"?([\w.-]+)"? += ', r'\1"\2": ', line) for line in inner.splitlines()]
    closed = [line if line.endswith(("[", "{", ",")) else f"{line}," for line in lines]
    return yaml.safe_load("\n".join(closed).rstrip(","))
