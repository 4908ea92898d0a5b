"""The host process guards within the limits that its unit sets for a small machine."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from service_manager import wait_until

from outrider_cdk.limits import GIB, cpu_quota_percent, memory_limit_bytes
from outrider_cdk.unit import systemd_unit
from outrider_lab.host.lab import HostLab
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.needs import check_needs
from outrider_wire.errors import Unavailable

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

CGROUPS = Path("/sys/fs/cgroup")
NAME = f"outrider-test-limits-{os.getpid()}"
CPUS, MACHINE_BYTES = 2, 4 * GIB


class Limited:
    """A cgroup with the unit's limits, of whichever version this machine has."""

    def __init__(self) -> None:
        unit = systemd_unit(cpus=CPUS, machine_bytes=MACHINE_BYTES)
        period_us = 1000 * int(re.search(r"^CPUQuotaPeriodSec=(\d+)ms$", unit, re.MULTILINE)[1])
        quota_us = period_us * cpu_quota_percent(CPUS) // 100
        limit = str(memory_limit_bytes(MACHINE_BYTES))
        old = (CGROUPS / "cpu" / "cpu.cfs_quota_us").exists() or (CGROUPS / "memory").is_dir()
        self.folders = [CGROUPS / "cpu" / NAME, CGROUPS / "memory" / NAME] if old else [CGROUPS / NAME]
        for folder in self.folders:
            folder.mkdir()
        cpu, memory = self.folders[0], self.folders[-1]
        if old:
            (cpu / "cpu.cfs_period_us").write_text(str(period_us))
            (cpu / "cpu.cfs_quota_us").write_text(str(quota_us))
            (memory / "memory.limit_in_bytes").write_text(limit)
            self._events = memory / "memory.oom_control"
        else:
            (cpu / "cpu.max").write_text(f"{quota_us} {period_us}")
            (memory / "memory.max").write_text(limit)
            self._events = memory / "memory.events"
        self.throttling = cpu / "cpu.stat"

    def command(self) -> tuple[str, ...]:
        """The host process, in there from its first instruction on."""
        joins = "".join(f"echo $$ >{folder}/cgroup.procs; " for folder in self.folders)
        return ("sh", "-c", f"{joins}exec {sys.executable} -m outrider_sidecar")

    def count(self, path: Path, name: str) -> int:
        """A number of a file of name and number lines."""
        return int(re.search(rf"^{name} (\d+)$", path.read_text(), re.MULTILINE)[1])

    def killed(self) -> int:
        """How many of its processes were killed for memory."""
        return self.count(self._events, "oom_kill")

    def remove(self) -> None:
        for folder in self.folders:
            wait_until(lambda at=folder: not (at / "cgroup.procs").read_text(), what="an empty cgroup")
            folder.rmdir()


@pytest.fixture
def limited() -> Iterator[Limited]:
    """The cgroup, and nothing of it afterwards."""
    try:
        check_needs()
        made = Limited()
    except (Unavailable, OSError) as error:
        pytest.skip(f"no cgroup with limits can be made here: {error}")
    yield made
    made.remove()


def test_it_guards_within_a_small_machines_limits(limited: Limited) -> None:
    """A tenth of two CPUs and 128 MB: it is held back, nothing of it is killed, and an attack after 300 starts of
    programs is caught, also one that is over at once."""
    settings = HostSettings(command=limited.command(), tasks=(HostTaskSettings(),), ready_timeout_s=120)
    with HostLab(settings) as lab:
        assert lab.ready, lab.log()[-3000:]
        busy = "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done"
        done = lab.tasks[0].run(f"{busy}; cp /bin/true /tmp/outrider-test-new && /tmp/outrider-test-new")
        assert done.returncode == 0
        kind = "Execution:Runtime/NewBinaryExecuted"
        assert limited.count(limited.throttling, "nr_throttled") > 0
        assert limited.killed() == 0
        again = lab.tasks[0].run("sleep 2; cp /bin/sleep /tmp/outrider-test-slow && /tmp/outrider-test-slow 1")
        assert again.returncode == 0
        found = lab.findings(lambda found: any(one.type == kind for one in found), timeout_s=80)
        assert kind in [one.type for one in found], lab.log()[-3000:]
        named = [one.process.exe for one in found if one.process is not None]
        assert "/tmp/outrider-test-new" in named, ([one.description for one in found], lab.log()[-3000:])
