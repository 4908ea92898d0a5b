"""The Dockerfile, as far as it can be held to its word without a container engine."""

import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

from outrider_cli.main import COMMANDS
from outrider_collector.settings import Settings as CollectorSettings
from outrider_sidecar import VERSION

ROOT = Path(__file__).parents[2]
TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def stage(name: str) -> list[str]:
    """The instructions of one stage."""
    begin = next(i for i, line in enumerate(LINES) if line.startswith("FROM ") and line.endswith(f" AS {name}"))
    end = next((i for i in range(begin + 1, len(LINES)) if LINES[i].startswith("FROM ")), len(LINES))
    return LINES[begin + 1 : end]


def arguments_of(lines: list[str], instruction: str) -> list[str]:
    """What follows each use of an instruction."""
    return [line.removeprefix(instruction).strip() for line in lines if line.startswith(instruction + " ")]


def copies() -> list[str]:
    """What the build stages take from the checkout."""
    return [line for name in ("build", "wheel") for line in arguments_of(stage(name), "COPY")]


def test_every_file_it_copies_is_there():
    """What is copied from the checkout exists and is let through by .dockerignore."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in copies() for word in line.split()[:-1]}
    assert copied == allowed
    assert not [name for name in copied if not (ROOT / name).exists()]


def test_every_package_of_the_wheel_is_copied():
    """A new top-level folder is not forgotten."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {path.partition("/")[0] for path in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert folders <= {line.split()[0] for line in copies()}


def test_each_image_starts_a_module_that_is_there():
    """The commands name modules of ours."""
    for name, module in (("sidecar", "outrider_sidecar"), ("collector", "outrider_collector")):
        (command,) = arguments_of(stage(name), "CMD")
        assert json.loads(command) == ["python", "-m", module]
        assert find_spec(f"{module}.__main__")


def test_no_attack_is_in_an_image():
    """The lab is taken out of both, the collector out of the sidecar."""
    assert "outrider_lab outrider_collector" in " ".join(arguments_of(stage("gather-sidecar"), "RUN"))
    assert "outrider_lab" in " ".join(arguments_of(stage("gather-collector"), "RUN"))


def test_the_final_stages_run_nothing():
    """They begin from nothing and take one gathered tree: what builds, pip and a shell stay behind."""
    for name in ("sidecar", "collector"):
        assert f"FROM scratch AS {name}" in LINES
        assert arguments_of(stage(name), "COPY") == [f"--from=gather-{name} /rootfs/ /"]
        assert not arguments_of(stage(name), "RUN")


def test_the_base_is_an_argument_and_the_only_image_from_outside():
    """Another base, or one by digest, needs no change of the file."""
    stages = [line.split() for line in LINES if line.startswith("FROM ")]
    own = {words[-1] for words in stages}
    assert {words[1] for words in stages} - own == {"${BASE}", "scratch"}


def test_nothing_in_it_is_of_one_architecture():
    """Neither the Dockerfile nor what gathers the image names a machine."""
    files = [ROOT / "Dockerfile", *(ROOT / "packaging/image").glob("*.py")]
    assert not [file for file in files if re.search(r"x86|amd64|aarch64|arm64", file.read_text())]


def test_health_is_asked_by_a_command_that_is_there():
    """No port, no shell."""
    (health,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", TEXT, re.MULTILINE)
    program, subcommand = json.loads(health)
    assert program == "outrider"
    assert subcommand in {name for name, _, _ in COMMANDS}


def test_the_environment_of_the_collector_is_settings():
    """What the image sets are names that the collector knows."""
    (environment,) = arguments_of(stage("collector"), "ENV")
    words = [word.partition("=")[0] for word in environment.split() if word.startswith("OUTRIDER_")]
    names = {word.removeprefix("OUTRIDER_COLLECTOR_").lower() for word in words}
    assert names
    assert names <= set(CollectorSettings.__struct_fields__)


def test_there_is_one_version():
    """The label, the package and what the sidecar says of itself agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(re.findall(r"^ARG VERSION=(.*)$", TEXT, re.MULTILINE)) == {project["project"]["version"]} == {VERSION}
