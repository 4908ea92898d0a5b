"""What a build is shown of the machine it runs on: how pip reaches packages, and no more."""

import configparser
import os
from pathlib import Path

import pytest

from outrider_lab.images.building import INSIDE, pip_settings, registry_mounts


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine whose pip has settings of its own, in a file and in the environment."""
    (tmp_path / "bundle.pem").write_text("certificates")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://packages.example/simple\ntimeout = 7\nno-color = 1\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path}/wheels {tmp_path}/absent")
    monkeypatch.setenv("PIP_CERT", f"{tmp_path}/bundle.pem")
    return tmp_path


def test_the_environment_wins_over_files(machine: Path):
    """As pip has it."""
    found = pip_settings()
    assert found["timeout"] == "9"
    assert found["index-url"] == "https://packages.example/simple"


def test_the_build_gets_a_configuration_of_its_own(machine: Path):
    """Index and certificates as here, at paths of the build's; other settings stay; all of it is read-only."""
    folder = machine / "store"
    folder.mkdir()
    mounts = registry_mounts(folder)
    parser = configparser.ConfigParser()
    parser.read_string((folder / "pip.conf").read_text())
    assert dict(parser["global"]) == {
        "index-url": "https://packages.example/simple",
        "timeout": "9",
        "cert": f"{INSIDE}/certificates.pem",
        "find-links": f"{INSIDE}/links-0",
    }
    assert f"{machine}/bundle.pem:{INSIDE}/certificates.pem:ro" in mounts
    assert f"{machine}/wheels:{INSIDE}/links-0:ro" in mounts
    assert all(mount.endswith(":ro") for mount in mounts)


def test_a_password_in_an_index_address_is_nobody_else_s(machine: Path):
    """The written configuration is its owner's alone."""
    folder = machine / "store"
    folder.mkdir()
    registry_mounts(folder)
    assert (folder / "pip.conf").stat().st_mode & 0o077 == 0
