"""What is in the sidecar's image, and what is not."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from outrider_lab.images import Podman

pytestmark = pytest.mark.timeout(600)

LIMIT_BYTES = 80_000_000
PROGRAMS = {"python", "python3", "python3.13", "outrider"}
"""All that can be started, links included."""
ASK = """
import json, sys
from importlib import metadata
print(json.dumps({d.name.lower().replace("_", "-"): d.version for d in metadata.distributions()}))
"""


def run(podman: Podman, image: str, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """A command in a container of the image that is as restricted as a task definition makes it."""
    restricted = ("--rm", "--network", "none", "--read-only", "--read-only-tmpfs=false", "--no-healthcheck")
    return podman.try_to("run", *restricted, *options, image, *command, timeout_s=60)


def files(tree: Path) -> Iterator[Path]:
    """Every file of the image, links not followed."""
    for folder, _, names in os.walk(tree):
        yield from (Path(folder, name) for name in names)


def sbom(tree: Path) -> dict[str, object]:
    return dict(json.loads((tree / "usr/share/sbom/outrider.cdx.json").read_text()))


def test_the_whole_image_is_under_80_mb(podman: Podman, sidecar: str, tree: Path):
    """Unpacked and with its base: there is one layer with files, and it is the image."""
    facts = podman.inspect(sidecar)
    size = sum(path.lstat().st_size for path in files(tree))
    assert size < LIMIT_BYTES, size
    assert facts["Size"] < LIMIT_BYTES, facts["Size"]


def test_nothing_in_it_builds_or_installs(tree: Path):
    """No compiler, no pip, no package manager, no shell: the interpreter and our command are all there is to start."""
    started = {
        path.name for path in files(tree) if path.parent.name in ("bin", "sbin") and not path.name.endswith(".pyc")
    }
    assert started == PROGRAMS
    assert not [
        path for path in files(tree) if re.search(r"/(pip|ensurepip|boto3|botocore|setuptools)(/|-|\.)", str(path))
    ]


def test_no_attack_and_no_test_is_in_it(tree: Path):
    """Neither the lab nor the collector, nor anybody's tests."""
    (site,) = tree.glob("opt/outrider/lib/python3*/site-packages")
    ours = {path.name for path in site.glob("outrider_*")}
    assert ours == {"outrider_wire", "outrider_rules", "outrider_sidecar", "outrider_cdk", "outrider_cli"}
    assert not [path for path in site.rglob("*") if path.name in ("test", "tests")]


def test_every_module_has_its_bytecode(tree: Path):
    """On a read-only root none could be kept: a start would compile everything anew."""
    for path in tree.glob("opt/outrider/lib/python3*/site-packages/**/*.py"):
        assert list((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc")), path
    assert len(list(tree.glob("usr/lib/python3.13/__pycache__/*.pyc"))) > 100


def test_nothing_of_the_build_machine_is_in_it(tree: Path):
    """The certificates are the base's, and pip's settings stayed outside."""
    assert not (tree / "etc/pip.conf").exists()
    assert not (tree / "run/outrider-build").exists()
    assert not list((tree / "src").glob("*"))


def test_the_labels_are_oci_s(podman: Podman, sidecar: str):
    """What, which, of which commit, under which licence."""
    labels = podman.inspect(sidecar)["Config"]["Labels"]
    found = {name.removeprefix("org.opencontainers.image."): text for name, text in labels.items()}
    assert found["title"] == "outrider"
    assert found["version"] == "0.1.0"
    assert re.fullmatch("[0-9a-f]{40}", found["revision"])
    assert found["licenses"] == "Apache-2.0"
    assert found["description"]


def test_the_bill_of_materials_is_valid_cyclonedx(tree: Path):
    """Another's schema judges it."""
    text = (tree / "usr/share/sbom/outrider.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_lists_what_is_installed(podman: Podman, sidecar: str, tree: Path):
    """The distributions that the image's own interpreter knows, with their versions, and no others."""
    done = run(podman, sidecar, "python", "-c", ASK)
    assert done.returncode == 0, done.stderr
    listed = {c["name"]: c["version"] for c in sbom(tree)["components"] if c["purl"].startswith("pkg:pypi/")}
    assert listed == json.loads(done.stdout)
    assert {"outrider", "cryptography", "msgspec"} <= listed.keys()


def test_it_lists_the_system_packages(tree: Path):
    """Those that a file of the image is of, each with the record that scanners read and its copyright."""
    listed = {c["name"] for c in sbom(tree)["components"] if c["purl"].startswith("pkg:deb/")}
    assert {"libc6", "libssl3t64", "ca-certificates"} <= listed
    assert listed == {path.name for path in (tree / "var/lib/dpkg/status.d").iterdir()}
    assert not {"bash", "dash", "apt", "dpkg", "perl-base", "coreutils"} & listed
    assert (tree / "usr/share/doc/libc6/copyright").exists()


def test_every_library_resolves(podman: Podman, sidecar: str):
    """Each extension module of the image can be loaded where it is."""
    load = (
        "import ctypes, pathlib, sys, sysconfig\n"
        "roots = [pathlib.Path(sysconfig.get_path('stdlib'), 'lib-dynload'), pathlib.Path('/opt/outrider')]\n"
        "found = [str(p) for r in roots for p in r.rglob('*.so')]\n"
        "[ctypes.CDLL(p) for p in found]\n"
        "print(len(found))"
    )
    done = run(podman, sidecar, "python", "-c", load)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


def test_it_trusts_public_authorities(podman: Podman, sidecar: str):
    """A collector behind an ordinary certificate needs no setting."""
    done = run(podman, sidecar, "python", "-c", "import ssl; print(len(ssl.create_default_context().get_ca_certs()))")
    assert int(done.stdout) > 100, done.stderr


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("outrider", "--help"), 0, "doctor"),
        (("outrider", "fields"), 0, "proc.name"),
        (("outrider", "rules", "list"), 0, "Reverse Shell"),
        (("outrider", "health"), 1, ""),
        (("outrider", "lab"), 77, "install outrider[lab]"),
        (("outrider", "collector"), 77, "install outrider[collector]"),
    ],
)
def test_a_command_of_the_image(podman: Podman, sidecar: str, command: tuple[str, ...], code: int, says: str):
    """What is there works on a read-only root, and what is not says so."""
    done = run(podman, sidecar, *command)
    assert done.returncode == code, done.stderr
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_setting_stops_it(podman: Podman, sidecar: str):
    """The image's own command, with its own code."""
    done = run(podman, sidecar, options=("--env", "OUTRIDER_COLLECTER_URL=http://127.0.0.1:1"))
    assert done.returncode == 2
    assert "did you mean OUTRIDER_COLLECTOR_URL" in done.stderr
