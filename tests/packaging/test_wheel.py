"""The wheel holds what it should, and its bare install is a working sidecar."""

import json
import zipfile
from pathlib import Path

import pytest

PACKAGES = (
    "outrider_wire",
    "outrider_rules",
    "outrider_sidecar",
    "outrider_collector",
    "outrider_cdk",
    "outrider_lab",
    "outrider_cli",
)


def test_it_holds_the_rules_the_lists_and_the_types(wheel: Path):
    """What is no Python file is there, too."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"outrider_rules/packs/outrider.yaml", "outrider_rules/packs/outrider_lists.yaml"} <= names
    assert "outrider_sidecar/mining_pools.txt" in names
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_it_holds_the_licence_and_one_command(wheel: Path):
    """Apache-2.0 comes along; the only console script is `outrider`."""
    archive = zipfile.ZipFile(wheel)
    (info,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    assert f"{info}/licenses/LICENSE" in archive.namelist()
    scripts = archive.read(f"{info}/entry_points.txt").decode().split()
    assert scripts == ["[console_scripts]", "outrider", "=", "outrider_cli.main:main"]


def test_it_holds_nothing_else(wheel: Path):
    """No tests, no benches, no file of the checkout."""
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_the_bare_install_has_no_collector(bare: Path):
    """What these tests prove would be worth nothing with all libraries at hand."""
    assert not {"sqlalchemy", "starlette", "uvicorn", "pytest"} & {path.name for path in bare.iterdir()}
    assert {"msgspec", "msgpack", "cryptography", "yaml"} <= {path.name for path in bare.iterdir()}


def test_the_sidecar_starts_and_refuses_a_misspelt_setting(outrider):
    """Every import of the sidecar resolves, and the settings are read before anything is started."""
    done = outrider("outrider_sidecar", OUTRIDER_COLLECTER_URL="http://127.0.0.1:1")
    assert done.returncode == 2
    assert "did you mean OUTRIDER_COLLECTOR_URL" in done.stderr


def test_the_help_names_every_command(outrider):
    """`outrider --help` needs no extra."""
    done = outrider("outrider_cli.main", "--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("watch", "lab", "run", "doctor", "collector", "fields"))


def test_the_rules_are_found_in_the_wheel(outrider):
    """The pack is read from the installed package."""
    done = outrider("outrider_cli.main", "rules", "list", "--json")
    assert done.returncode == 0, done.stderr
    assert {"Reverse Shell", "New Binary Executed"} <= {rule["name"] for rule in json.loads(done.stdout)["rules"]}


@pytest.mark.parametrize("command", [("doctor", "--json"), ("fields", "--json"), ("run", "--print-settings")])
def test_a_command_of_the_sidecar_needs_no_extra(outrider, command: tuple[str, ...]):
    """What a person uses to look at a sidecar works in its image."""
    done = outrider("outrider_cli.main", *command)
    assert done.returncode == 0, done.stderr


def test_a_command_is_watched_with_the_bare_install(outrider):
    """`outrider watch` passes the command's output and exit code through."""
    done = outrider("outrider_cli.main", "watch", "--quiet", "--", "sh", "-c", "echo hello; exit 7")
    assert (done.stdout, done.returncode) == ("hello\n", 7), done.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [("collector", "collector"), ("findings", "collector"), ("agents", "collector"), ("lab", "lab")],
)
@pytest.mark.parametrize("option", [(), ("--help",)])
def test_a_missing_extra_is_named(outrider, command: str, extra: str, option: tuple[str, ...]):
    """A command whose libraries are not installed says which extra brings them, and no traceback."""
    done = outrider("outrider_cli.main", command, *option)
    assert done.returncode == 77
    assert f"install outrider[{extra}]" in done.stderr
    assert "sqlalchemy" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_collector_module_names_its_extra(outrider):
    """`python -m outrider_collector` is what the image starts; without its extra it says so."""
    done = outrider("outrider_collector", OUTRIDER_COLLECTOR_TOKEN="a-token-for-a-test")
    assert done.returncode != 0
    assert "outrider[collector]" in done.stderr
    assert "Traceback" not in done.stderr
