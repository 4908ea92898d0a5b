"""packaging/install.sh, run into a scratch root with a wheel of this checkout and no network."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from outrider_cdk.limits import machine_memory_bytes
from outrider_cdk.unit import systemd_unit

pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "packaging" / "install.sh"
USER_DATA = ROOT / "packaging" / "user-data.sh"
DEPENDENCIES = ("cffi", "cryptography", "google-re2", "msgpack", "msgspec", "psutil", "pycparser", "pyyaml")


def repack(name: str, folder: Path) -> None:
    """A wheel of what is installed here under a name: what a download would have brought."""
    distribution = metadata.distribution(name)
    kept = [f for f in distribution.files or [] if ".." not in f.parts and "__pycache__" not in f.parts]
    (info,) = {f.parts[0] for f in kept if f.parts[0].endswith(".dist-info")}
    wheel = folder / f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
    lines = []
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in kept:
            if file.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                continue
            content = Path(str(distribution.locate_file(file))).read_bytes()
            if file.name == "WHEEL":
                content = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            archive.writestr(str(file), content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{file},sha256={digest},{len(content)}")
        archive.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,"]) + "\n")


@pytest.fixture(scope="module")
def wheels(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the bare install needs."""
    folder = tmp_path_factory.mktemp("wheels")
    shutil.copy(wheel, folder)
    for name in DEPENDENCIES:
        repack(name, folder)
    return folder


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script, without a way to a registry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "OUTRIDER_", "PYTHON"))}
    return subprocess.run(
        ["bash", str(SCRIPT), *words],
        env={**kept, "PIP_NO_INDEX": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def machine(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch root with Outrider installed in it."""
    root = tmp_path_factory.mktemp("machine")
    token = root / "token"
    token.write_text("a-token\n")
    collector = ("--collector", "https://collector.example:8440", "--token-file", str(token))
    done = run("--root", str(root), "--wheels", str(wheels), "--python", sys.executable, *collector)
    assert done.returncode == 0, done.stderr
    return root


def test_the_installed_command_works(machine: Path) -> None:
    """Its environment has all that the sidecar needs, and none of this checkout."""
    python = machine / "opt/outrider/bin/python"
    command = [str(python), "-I", "-m", "outrider_cli.main", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=machine, timeout=60)
    assert done.returncode == 0, done.stderr
    where = [str(python), "-I", "-c", "import outrider_sidecar as o; print(o.__file__)"]
    assert str(machine) in subprocess.run(where, capture_output=True, text=True, timeout=60).stdout
    assert (machine / "opt/outrider/bin/outrider").read_text().startswith("#!/opt/outrider/bin/python\n")


def test_the_unit_is_this_machines(machine: Path) -> None:
    """What `outrider unit` makes here, starting the command where it is installed."""
    memory = machine_memory_bytes(Path("/proc/meminfo").read_text())
    expected = systemd_unit(cpus=os.cpu_count() or 1, machine_bytes=memory)
    assert (machine / "etc/systemd/system/outrider.service").read_text() == expected


def test_settings_and_token_are_roots_alone(machine: Path) -> None:
    """The token is in a file that only its owner reads, and the settings name it, not its content."""
    settings = machine / "etc/outrider"
    lines = (settings / "outrider.env").read_text().splitlines()
    assert "OUTRIDER_COLLECTOR_URL=https://collector.example:8440" in lines
    assert "OUTRIDER_TOKEN_FILE=/etc/outrider/token" in lines
    assert (settings / "token").read_text() == "a-token\n"
    for path in (settings, settings / "token", settings / "outrider.env"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert "a-token" not in "\n".join(lines)


def test_the_environment_holds_no_installer(machine: Path) -> None:
    """A guarded machine should hold nothing more that installs programs."""
    assert not list((machine / "opt/outrider/lib").glob("python3*/site-packages/pip"))


def test_running_it_again_updates_and_keeps_settings(machine: Path, wheels: Path) -> None:
    """What the operator changed stays; the program and the unit are made anew; nothing half-made is left."""
    settings = machine / "etc/outrider/outrider.env"
    settings.write_text(settings.read_text() + "OUTRIDER_GUARD_HOST=on\n")
    unit = machine / "etc/systemd/system/outrider.service"
    unit.write_text("[Service]\nExecStart=/bin/false\n")
    stray = machine / "opt/outrider/lib/stray"
    stray.write_text("of the old version")
    done = run("--root", str(machine), "--wheels", str(wheels), "--python", sys.executable)
    assert done.returncode == 0, done.stderr
    assert "OUTRIDER_GUARD_HOST=on" in settings.read_text()
    assert settings.read_text().count("OUTRIDER_COLLECTOR_URL=") == 1
    assert "outrider run --mode host" in unit.read_text()
    assert not stray.exists()
    assert sorted(path.name for path in (machine / "opt").iterdir()) == ["outrider"]


def test_a_failing_update_leaves_what_was_there(machine: Path, wheels: Path, tmp_path: Path) -> None:
    """A wheel whose dependencies are missing is not installed; the old one goes on."""
    shutil.copy(next(wheels.glob("outrider-*.whl")), tmp_path)
    done = run("--root", str(machine), "--wheels", str(tmp_path), "--python", sys.executable)
    assert done.returncode != 0
    assert (machine / "opt/outrider/bin/outrider").exists()
    assert sorted(path.name for path in (machine / "opt").iterdir()) == ["outrider"]


def test_taking_it_out_keeps_what_is_the_operators(machine: Path) -> None:
    """Without --purge settings and journal stay; with it nothing does; doing it twice is no error."""
    journal = machine / "var/lib/outrider"
    journal.mkdir(parents=True)
    for _ in range(2):
        done = run("--root", str(machine), "--uninstall")
        assert done.returncode == 0, done.stderr
        assert not (machine / "opt/outrider").exists()
        assert not (machine / "etc/systemd/system/outrider.service").exists()
        assert journal.exists() and (machine / "etc/outrider/token").exists()
    assert run("--root", str(machine), "--uninstall", "--purge").returncode == 0
    assert not journal.exists() and not (machine / "etc/outrider").exists()


def test_what_it_did_not_make_it_does_not_remove(tmp_path: Path, wheels: Path) -> None:
    """Another's /opt/outrider is left alone by installing and by removing."""
    other = tmp_path / "opt/outrider/precious"
    other.parent.mkdir(parents=True)
    other.write_text("kept")
    for words in (("--uninstall",), ("--wheels", str(wheels), "--python", sys.executable)):
        done = run("--root", str(tmp_path), *words)
        assert done.returncode == 2 and "left alone" in done.stderr
    assert other.read_text() == "kept"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--colector", "x"), 2, "unknown option"),
        (("--wheels",), 2, "needs a value"),
        (("--wheels", "/nonexistent"), 2, "no such folder"),
        (("--wheels", "/usr"), 2, "no outrider-*.whl"),
        (("--collector", "collector.example"), 2, "must start with https://"),
        (("--collector", "https://a/$(id)"), 2, "not an address"),
        (("--token-file", "/nonexistent"), 2, "cannot read"),
        (("--python", "/bin/false"), 77, "3.11 or later"),
    ],
)
def test_misuse_is_said_before_anything_is_done(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    """One sentence, the right exit code, and a root as empty as before."""
    done = run("--root", str(tmp_path), *words)
    assert done.returncode == code and said in done.stderr
    assert not list(tmp_path.iterdir())


def test_help_is_the_head_of_the_file() -> None:
    """Every option that the script knows is explained."""
    shown = run("--help").stdout
    for option in (
        "--wheels",
        "--collector",
        "--token-file",
        "--python",
        "--no-start",
        "--root",
        "--uninstall",
        "--purge",
    ):
        assert option in shown


@pytest.mark.parametrize("script", [SCRIPT, USER_DATA], ids=lambda path: path.name)
def test_the_scripts_are_sound(script: Path) -> None:
    """bash reads them; shellcheck, where it is there, has nothing to complain of; no registry is named."""
    subprocess.run(["bash", "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout
    assert "index-url" not in script.read_text() and "http://" not in USER_DATA.read_text()


def test_user_data_joins_the_cluster_though_the_install_fails(tmp_path: Path) -> None:
    """A guard that cannot be fetched keeps no machine from its cluster, and the log says so."""
    config = tmp_path / "ecs.config"
    text = USER_DATA.read_text().replace("/etc/ecs/ecs.config", str(config))
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    (tmp_path / "dnf").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "dnf").chmod(0o755)
    done = subprocess.run(["bash", "-c", text], env=environ, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert config.read_text() == "ECS_CLUSTER=my-cluster\n"
    assert "outrider is not installed" in done.stderr
