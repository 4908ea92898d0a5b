"""What tests of container instances share: the findings of one lab apart from those of others on the machine."""

import time
from collections.abc import Callable

from outrider_lab.host.lab import HostedTask, HostLab
from outrider_wire.findings import Finding

FOUND_WITHIN_S = 6.0


def ids_of(task: HostedTask) -> set[str]:
    """The ids of a task's containers."""
    return {value for name, value in task.facts.items() if name.startswith("id:")}


class Watch:
    """What the collector gets to hold of one lab from now on.

    A host process guards every container of the machine, those of other labs too: what is of a container that is
    none of ours does not count. What is of no container does.
    """

    def __init__(self, lab: HostLab) -> None:
        self._lab = lab
        self._before = {finding.id for finding in lab.findings()}

    def findings(self) -> list[Finding]:
        """All new ones of ours."""
        ours = {one for task in self._lab.tasks for one in ids_of(task)}
        return [
            one
            for one in self._lab.findings()
            if one.id not in self._before and (one.container is None or one.container.id in ours)
        ]

    def all_of(self, containers: set[str]) -> Callable[[], list[Finding]]:
        """Asks for the new ones of these containers, which may be gone by then."""
        return lambda: [
            one
            for one in self._lab.findings()
            if one.id not in self._before and one.container is not None and one.container.id in containers
        ]

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
