"""The parts of a host's guard: one process tree of ours for every task of an EC2 container instance.

The best of each sense first: the proc connector for processes, fanotify for files, a tap in each network namespace.
Where one cannot be had, what a task has takes its place, sense by sense, and that is said.
"""

from outrider_sidecar.modes import Ground, Parts
from outrider_sidecar.modes.task import probe_task
from outrider_sidecar.sensors import Capability


def probe_host() -> tuple[Capability, ...]:
    """What can be seen here of a host, each found out by doing it."""
    return probe_task(in_task=False)


def host_parts(ground: Ground, capabilities: tuple[Capability, ...]) -> Parts:
    """What guards a host with these capabilities."""
    raise NotImplementedError
