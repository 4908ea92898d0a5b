"""The host process sees in what it is packaged in: in the unit's sandbox, and in the daemon task's container."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import service_manager
from confined import InDaemonTask, InUnit, Way, confinement_of, in_daemon_task, wait_ready
from service_manager import wait_until

from outrider_cdk.unit import CAPABILITIES
from outrider_lab.host.lab import HostLab
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.needs import check_needs
from outrider_wire.errors import Unavailable
from outrider_wire.findings import Finding

pytestmark = pytest.mark.lab

SENSES = Path(__file__).parents[1] / "support" / "senses.py"
CAPABILITY_NUMBERS = {"CAP_DAC_READ_SEARCH": 2, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_PTRACE": 19}
ALLOWED = sum(1 << CAPABILITY_NUMBERS.get(name, 21) for name, _ in CAPABILITIES)  # 21 is CAP_SYS_ADMIN


@pytest.fixture(params=["unit", "daemon-task"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    """Each way to run it, in turn."""
    try:
        check_needs()
    except Unavailable as error:
        pytest.skip(str(error))
    if request.param == "daemon-task":
        with in_daemon_task() as made:
            yield made
        return
    if reason := service_manager.missing():
        pytest.skip(reason)
    with service_manager.service_manager(tmp_path) as manager:
        yield InUnit(manager)


@pytest.fixture
def lab() -> Iterator[HostLab]:
    """An instance with two tasks and a collector, guarded by nobody yet."""
    with HostLab(HostSettings(command=(), tasks=(HostTaskSettings(), HostTaskSettings(network="bridge")))) as instance:
        yield instance


def settings_for(lab: HostLab) -> dict[str, str]:
    """What an operator would set."""
    return {
        "OUTRIDER_AGENT_URI": lab.facts["agent_uri"],
        "OUTRIDER_COLLECTOR_URL": f"http://{lab.facts['collector']}",
        "OUTRIDER_TOKEN": lab.settings.token,
        "OUTRIDER_HEARTBEAT_S": "1",
        "OUTRIDER_RESPOND": "dry-run",
    }


def senses(text: str) -> dict[str, bool]:
    """What `outrider doctor --json` printed: each sensor, and whether it sees."""
    return {f"{c['sense']} {c['sensor']}": c["available"] for c in json.loads(text)["capabilities"]}


def of_task(found: list[Finding], arn: str, kind: str) -> list[Finding]:
    """Findings of one type on one task."""
    return [one for one in found if one.type == kind and one.task is not None and one.task.arn == arn]


def test_the_doctor_says_there_what_it_says_to_plain_root(way: Way) -> None:
    """Each sense is tried by using it, and none is lost by what is taken away."""
    words = ("-m", "outrider_cli.main", "doctor", "--json")
    expected = senses(
        subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, timeout=60).stdout
    )
    assert any(expected.values())
    assert senses(way.once(*words)) == expected


def test_every_kernel_interface_works_on_a_container(way: Way, lab: HostLab) -> None:
    """Connector, fanotify of both kinds, handles, network namespaces, memory and ptrace: each is used there."""
    (process, *_) = lab.tasks[0].processes()
    said = json.loads(way.once(str(SENSES), str(process.pid)))
    assert len(said) >= 7
    assert not {sense: wrong for sense, wrong in said.items() if wrong}


def test_each_capability_is_needed(lab: HostLab, tmp_path: Path) -> None:
    """Without any one of them a sense is lost: none is kept for nothing."""
    if reason := service_manager.missing():
        pytest.skip(reason)
    (process, *_) = lab.tasks[0].processes()
    with service_manager.service_manager(tmp_path) as manager:
        for name, _ in CAPABILITIES:
            said = json.loads(InUnit(manager, without=name).once(str(SENSES), str(process.pid)))
            assert any(said.values()), f"nothing needs {name}"


def test_an_attack_is_caught_on_its_task_under_all_restrictions(way: Way, lab: HostLab) -> None:
    """A new program in the second task is a finding on that task and on no other; the processes are as confined
    as they should be; it stops when it is told to."""
    way.start(settings_for(lab))
    try:
        said = wait_ready(way)
        confined = confinement_of(said["pid"])
        assert (confined["NoNewPrivs"], confined["Seccomp"]) == (1, 2)
        assert confined["CapBnd"] == confined["CapEff"] == ALLOWED
        blind = [c for c in said["capabilities"] if not c["available"]]
        assert not [c for c in blind if c["sensor"] != "attach"], blind
        assert {"connector", "fanotify", "packet", "gate"} <= {c["sensor"] for c in said["capabilities"]}

        victim, other = lab.tasks[1], lab.tasks[0]
        done = victim.run("cp /bin/true /tmp/outrider-test-new && /tmp/outrider-test-new")
        assert done.returncode == 0
        kind = "Execution:Runtime/NewBinaryExecuted"
        found = lab.findings(lambda found: bool(of_task(found, victim.arn, kind)), timeout_s=15)
        assert of_task(found, victim.arn, kind), f"{[(one.type, one.task) for one in found]}\n{way.log()[-4000:]}"
        assert not of_task(found, other.arn, kind)
        if isinstance(way, InDaemonTask):
            health = way.health()
            assert health.returncode == 0, health.stdout + health.stderr
    finally:
        way.stop()
    assert not (way.journal / "ready").exists()
    assert not Path(f"/proc/{said['pid']}").exists()


def test_the_unit_brings_it_back(lab: HostLab, tmp_path: Path) -> None:
    """Whoever kills all of it finds it there again, and what it wrote is still its own."""
    if reason := service_manager.missing():
        pytest.skip(reason)
    with service_manager.service_manager(tmp_path) as manager:
        way = InUnit(manager)
        way.start(settings_for(lab))
        first = int(manager.property("outrider.service", "MainPID"))
        wait_ready(way)
        manager.ctl("kill", "--signal=KILL", "outrider.service")
        wait_until(lambda: int(manager.property("outrider.service", "MainPID")) not in (0, first), timeout_s=20)
        assert way.journal.stat().st_mode & 0o077 == 0
        os.kill(int(manager.property("outrider.service", "MainPID")), signal.SIGTERM)
        wait_until(lambda: manager.property("outrider.service", "NRestarts") == "2", timeout_s=30, what="a restart")
        way.stop()


def test_the_unit_starts_what_stands_still_anew(tmp_path: Path) -> None:
    """Whoever stops all of it at once, so that none of them minds another, finds it running again."""
    if reason := service_manager.missing():
        pytest.skip(reason)
    with service_manager.service_manager(tmp_path) as manager:
        way = InUnit(manager)
        assert way.try_to_start({}, lines="WatchdogSec=3\n").returncode == 0
        first = int(manager.property("outrider.service", "MainPID"))
        wait_until(lambda: len(_processes(first)) >= 3, what="its processes")
        stopped = _processes(first)
        for pid in stopped:  # the supervisor first: nobody is started anew
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: int(manager.property("outrider.service", "NRestarts")) >= 1, timeout_s=40, what="a restart")
        wait_until(lambda: manager.property("outrider.service", "ActiveState") == "active", timeout_s=40, what="it")
        assert int(manager.property("outrider.service", "MainPID")) not in (0, first)
        assert not [pid for pid in stopped if Path(f"/proc/{pid}").exists()]
        way.stop()


def _processes(first: int) -> list[int]:
    """The main process of a unit, and its children."""
    return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]


def test_a_wrong_setting_is_not_tried_for_ever(tmp_path: Path) -> None:
    """Exit 2 ends in a failed unit that says why, not in a restart each second."""
    if reason := service_manager.missing():
        pytest.skip(reason)
    with service_manager.service_manager(tmp_path) as manager:
        way = InUnit(manager)
        assert way.try_to_start({"OUTRIDER_COLLECTER_URL": "https://collector.example"}).returncode != 0
        wait_until(lambda: manager.property("outrider.service", "ActiveState") == "failed", timeout_s=20)
        assert manager.property("outrider.service", "NRestarts") == "0"
        assert "did you mean OUTRIDER_COLLECTOR_URL" in way.log()
