"""The gate as it is shipped: the whole host process, and real runc containers of two tasks."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider_lab.host.lab import HostLab
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.needs import check_host_needs
from outrider_sidecar.gate import probe_gate
from outrider_wire.errors import Unavailable
from outrider_wire.findings import Finding

pytestmark = pytest.mark.lab
EPERM = b"Operation not permitted"
FAMILY = f"gate-test-{os.getpid()}"
"""The only one that is included: other containers of this machine are none of this test's business."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostLab]:
    """An instance of two tasks whose new programs are refused, of which only the first is included."""
    can = probe_gate()
    if not can.available:
        pytest.skip(can.reason)
    try:
        check_host_needs()
    except Unavailable as unavailable:
        pytest.skip(f"no container instance here: {unavailable}")
    rules = Path(tmp_path_factory.mktemp("rules")) / "deny.yaml"
    rules.write_text("- rule: New Binary Executed\n  respond: deny\n  override: {respond: replace}\n")
    env = {"OUTRIDER_RESPOND": "on", "OUTRIDER_RULES": str(rules), "OUTRIDER_INCLUDE": f"family={FAMILY}"}
    env["OUTRIDER_RESPOND_BUDGET_MS"] = "2000"  # a busy machine is not to decide this
    tasks = (HostTaskSettings(family=FAMILY), HostTaskSettings(family="spared", network="bridge"))
    with HostLab(HostSettings(tasks=tasks, env=env)) as made:
        wait_for_gate(made)
        yield made


def is_of_new(finding: Finding) -> bool:
    return finding.title.startswith("Refused:") and finding.process is not None and finding.process.exe == "/tmp/new"


def wait_for_gate(lab: HostLab) -> None:
    """A container's first moments pass unasked, while it is not known yet whether it is included."""
    deadline_s = time.monotonic() + 30
    while EPERM not in lab.tasks[0].run("cp /bin/true /tmp/first && /tmp/first").stderr:
        assert time.monotonic() < deadline_s, "nobody is refused"


def test_a_new_program_is_refused_in_the_task_that_is_guarded(lab):
    """By the application's own shell and by ECS Exec; the finding is the task's."""
    guarded, spared = lab.tasks
    new = "cp /bin/touch /tmp/new && /tmp/new /tmp/ran; ls /tmp"
    done = guarded.run(new)
    assert EPERM in done.stderr
    assert b"ran" not in done.stdout.split()
    assert EPERM in guarded.exec(["/bin/sh", "-c", "/tmp/new /tmp/ran; ls /tmp"]).stderr
    refused = [one for one in lab.findings(lambda some: any(map(is_of_new, some))) if is_of_new(one)]
    assert {one.task.arn for one in refused if one.task} == {guarded.arn}
    assert refused[0].process is not None
    assert refused[0].process.ancestry
    assert b"ran" in spared.run(new).stdout.split()


def test_ordinary_programs_and_builds_go_on(lab):
    """What make runs that it has just made is a build's own work: the rule does not hold, so nothing is refused."""
    task = lab.tasks[0]
    makefile = "all:\\n\\tcp /bin/echo /tmp/built\\n\\t/tmp/built built-it-runs\\n"
    done = task.run(f"cd /tmp && printf '{makefile}' > Makefile && make -s all")
    assert done.stdout == b"built-it-runs\n", done
    assert task.run("printf x | wc -c; exit 5").returncode == 5
    assert EPERM in task.run("/tmp/built").stderr


def test_a_new_program_of_the_machine_starts(lab, tmp_path):
    """What is of no container is never refused."""
    program = tmp_path / "new"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    assert os.spawnv(os.P_WAIT, program, ["new"]) == 0
    assert lab.tasks[0].run("/bin/true").returncode == 0
