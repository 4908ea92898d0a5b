"""Nothing in the sidecar is of one architecture: every dependency has a wheel for each that ECS runs on."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
GLIBC = (17, 28, 31, 34)
"""Minor versions of glibc 2 that wheels are tagged with, none above the base's (Debian 13 has 2.41)."""


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_bare_install_is_all_wheels(machine: str):
    """pip, asked for that machine and Python 3.13, finds a wheel of everything and would build nothing."""
    dependencies = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    platforms = [word for minor in GLIBC for word in ("--platform", f"manylinux_2_{minor}_{machine}")]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"),
            *("--target", "/nonexistent", "--only-binary", ":all:", "--python-version", "3.13", *platforms),
            *("--disable-pip-version-check", *dependencies),
        ],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    found = {one["metadata"]["name"].lower(): one["download_info"]["url"] for one in json.loads(done.stdout)["install"]}
    assert {"cryptography", "msgspec", "psutil"} <= found.keys()
    assert all(url.endswith((f"{machine}.whl", "-none-any.whl")) for url in found.values()), found
    assert [name for name, url in found.items() if machine in url]
