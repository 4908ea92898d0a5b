"""The systemd unit: what systemd itself says of it, and that no line of it is a guess."""

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_cdk.limits import GIB
from outrider_cdk.unit import CAPABILITIES, SETTINGS_FILE, systemd_unit
from outrider_cli.main import main
from outrider_sidecar.settings import load

ROOT = Path(__file__).parents[2]
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not there")
UNIT = systemd_unit(cpus=2, machine_bytes=4 * GIB)


def read(text: str) -> dict[str, str]:
    """The settings of the [Service] section; a name that is there twice is an error."""
    parser = RawConfigParser(strict=True, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return dict(parser["Service"])


@needs_systemd
def test_systemd_has_nothing_to_complain_of(tmp_path: Path) -> None:
    """Every line is known, and the program it names is there."""
    unit = tmp_path / "outrider.service"
    unit.write_text(systemd_unit(cpus=2, machine_bytes=4 * GIB, program="/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_its_exposure_is_no_larger_than_it_must_be(tmp_path: Path) -> None:
    """systemd's own score stays below 4 of 10; what keeps it there is what the senses need."""
    unit = tmp_path / "outrider.service"
    unit.write_text(UNIT)
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=40", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]


def test_it_has_the_vendors_limits() -> None:
    """A tenth of two CPUs and 128 MB on a machine of 4 GiB."""
    service = read(UNIT)
    assert (service["CPUQuota"], service["MemoryMax"]) == ("20%", "128M")


def test_a_spent_quota_stops_it_for_milliseconds_only() -> None:
    """Programs may wait for its decision: the quota's period is far below the decision's budget."""
    budget_ms = load({})[0].respond_budget_ms
    period_ms = int(re.fullmatch(r"(\d+)ms", read(UNIT)["CPUQuotaPeriodSec"])[1])
    assert period_ms * 2 <= budget_ms


def test_it_keeps_the_capabilities_that_have_a_reason() -> None:
    """Each is explained in the unit itself, and none of them is left of its list."""
    assert read(UNIT)["CapabilityBoundingSet"].split() == [name for name, _ in CAPABILITIES]
    for name, reason in CAPABILITIES:
        assert f"# {name.removeprefix('CAP_')}: {reason}." in UNIT


def test_what_it_sets_are_settings() -> None:
    """The environment is read without complaint, the command asks for the host mode, and the end comes in time."""
    environ = dict(pair.split("=", 1) for pair in read(UNIT)["Environment"].split())
    settings, _ = load(environ)
    assert settings.journal_dir == "/var/lib/outrider"
    assert read(UNIT)["ExecStart"].endswith(" --mode host")
    assert settings.stop_timeout_s < int(read(UNIT)["TimeoutStopSec"])


def test_the_example_of_settings_is_read() -> None:
    """Every line of packaging/systemd/outrider.env is a setting, those that are commented out, too."""
    lines = (ROOT / "packaging" / "systemd" / "outrider.env").read_text().splitlines()
    pairs = [line.lstrip("#") for line in lines if re.match(r"#?OUTRIDER_[A-Z_]+=", line)]
    assert len(pairs) >= 6
    environ = dict(pair.split("=", 1) for pair in pairs)
    del environ["OUTRIDER_CONFIG"]  # names a file
    settings, _ = load(environ)
    assert settings.exclude and settings.include and settings.guard_host
    assert read(UNIT)["EnvironmentFile"] == f"-{SETTINGS_FILE}"


def test_the_command_prints_one_for_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """`outrider unit` fills in this machine's size and the program that is named."""
    assert main(["unit", "--program", "/usr/local/bin/outrider"]) == 0
    service = read(capsys.readouterr().out)
    assert service["ExecStart"] == "/usr/local/bin/outrider run --mode host"
    assert service["MemoryMax"] in ("128M", "256M", "1024M")


def test_a_path_that_systemd_would_read_otherwise_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A blank would end the program's name: exit 2 and a sentence, no unit."""
    assert main(["unit", "--program", "/opt/my programs/outrider"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and "plain characters" in shown.err


@given(st.text() | st.from_regex(r"/[ -~]+"))
def test_a_path_is_one_word_of_the_unit_or_refused(program: str) -> None:
    """Whatever is asked for, the unit starts exactly that with `run`, or there is no unit."""
    try:
        text = systemd_unit(cpus=1, machine_bytes=GIB, program=program)
    except ValueError:
        return
    assert f"\nExecStart={program} run --mode host\n" in text
    assert len(program.split()) == 1 and len(text.splitlines()) == len(UNIT.splitlines())
