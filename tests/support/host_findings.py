"""What tests of container instances share: the findings of one lab apart from those of others on the machine."""

import json
import os
import re
import time
from collections.abc import Callable

from outrider_lab.host.lab import HostedTask, HostLab
from outrider_wire.findings import Finding

FOUND_WITHIN_S = 15.0
"""A deadline, not a promise: findings come within 0.3 s where the machine has a processor to spare."""
OUTRUN_WITHIN_S = 3.0
"""The same for what may never be found, where that is a known gap."""


def ids_of(task: HostedTask) -> set[str]:
    """The ids of a task's containers."""
    return {value for name, value in task.facts.items() if name.startswith("id:")}


def mount_namespaces(task: HostedTask) -> set[int]:
    """Those of a task's containers."""
    names = [name.removeprefix("id:") for name in task.facts if name.startswith("id:")]
    pids = [process.pid for name in names for process in task.processes(name)]
    return {os.stat(f"/proc/{pid}/ns/mnt").st_ino for pid in pids if os.path.exists(f"/proc/{pid}/ns/mnt")}


class Watch:
    """What the collector gets to hold of one lab from now on.

    A host process guards every container of the machine, those of other labs too: what is of a container that is
    none of ours does not count. What is of no container does, unless it says that it is of another mount namespace.
    """

    def __init__(self, lab: HostLab) -> None:
        self._lab = lab
        self._before = {finding.id for finding in lab.findings()}

    def findings(self) -> list[Finding]:
        """All new ones of ours."""
        ours = {one for task in self._lab.tasks for one in ids_of(task)}
        mounts = {one for task in self._lab.tasks for one in mount_namespaces(task)}
        new = [one for one in self._lab.findings() if one.id not in self._before]
        return [one for one in new if (one.container.id in ours if one.container else _may_be_of(one, mounts))]

    def all_of(self, containers: set[str]) -> Callable[[], list[Finding]]:
        """Asks for the new ones of these containers, which may be gone by then."""
        return lambda: [
            one
            for one in self._lab.findings()
            if one.id not in self._before and one.container is not None and one.container.id in containers
        ]

    def state(self) -> str:
        """What health says, and losses, for the message of a test that found too little."""
        try:
            said = json.loads((self._lab.journal / "ready").read_text())
        except (OSError, ValueError) as error:
            return f"no health: {error}"
        wanted = ("execs", "file_watch", "files", "guarded", "containers", "unnamed", "delivered", "delivery_error")
        new = [one for one in self._lab.findings() if one.id not in self._before]
        lost = [one.description for one in new if one.type.startswith("Outrider:")]
        load = " ".join(map(str, os.getloadavg()))
        return f"health: { ({key: said.get(key) for key in wanted}) }; lost: {lost}; others: {len(new)}; load: {load}"

    def of(self, task: HostedTask) -> list[Finding]:
        """Those that are of a task: by its ARN, or by a container of it."""
        ours = ids_of(task)
        return [
            one
            for one in self.findings()
            if (one.task is not None and one.task.arn == task.arn) or (one.container and one.container.id in ours)
        ]

    def wait(self, holds: Callable[[Finding], bool], *, timeout_s: float = FOUND_WITHIN_S) -> list[Finding]:
        """The new ones of which a condition holds, once there is one; none when the time is up."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = [one for one in self.findings() if holds(one)]
            if found or time.monotonic() > deadline_s:
                return found
            time.sleep(0.05)


def _may_be_of(finding: Finding, mounts: set[int]) -> bool:
    """What is said of files anywhere on the machine may be of another lab that comes and goes meanwhile."""
    named = re.search(r"mount namespace (\d+)", finding.description)
    if named is not None:
        return int(named[1]) in mounts
    return not finding.description.startswith("file: ")
