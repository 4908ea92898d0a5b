"""Which containers are in one network, and which belong together: pure.

Containers of a task share a network namespace in awsvpc mode and have one each in bridge mode; of host network mode
all are in the host's own. What has no known process is placed by the network it was seen in, as far as that says it.
"""

from typing import Final

from outrider_sidecar.world.containers import Container, Containers
from outrider_wire.findings import TaskView

EVERYWHERE: Final = 0


class Networks:
    """The networks of the containers that are known.

    `host_net_ns` is the host's own, which places nobody; 0 where one task is guarded, not a host. `host_guarded` says
    that the host's own processes are guarded, too.
    """

    def __init__(self, containers: Containers, *, host_net_ns: int = 0, host_guarded: bool = False) -> None:
        self._containers = containers
        self._host_net_ns = host_net_ns
        self._host_guarded = host_guarded

    def among_strangers(self, net_ns: int) -> bool:
        """Whether others than the guarded are in a network: what nobody was found for is most likely theirs."""
        return net_ns != EVERYWHERE and net_ns == self._host_net_ns and not self._host_guarded

    def members(self, net_ns: int) -> list[Container]:
        """The living containers of a network, but for the one that only holds it; none of the host's own."""
        if net_ns in (EVERYWHERE, self._host_net_ns):
            return []
        return [c for c in self._containers.all() if c.net_ns == net_ns and not c.ended_at_ns and not c.is_pause]

    def container_of(self, net_ns: int) -> Container | None:
        """The container of a network, where there is but one."""
        members = self.members(net_ns)
        return members[0] if len(members) == 1 else None

    def task_of(self, net_ns: int) -> TaskView | None:
        """The task of a network, where all its containers are of one."""
        tasks = [self._containers.task_of(container) for container in self.members(net_ns)]
        return tasks[0] if tasks and all(task == tasks[0] for task in tasks) else None

    def is_in(self, mnt_ns: int, net_ns: int) -> bool:
        """Whether a process of a container may be in a network; yes where either is not known."""
        container = self._containers.get(mnt_ns)
        return container is None or EVERYWHERE in (net_ns, container.net_ns) or container.net_ns == net_ns

    def neighbours(self, mnt_ns: int) -> frozenset[int] | None:
        """The mount namespaces whose processes may hold what a container speaks through: its task's, its network's.

        None where there is but one task, and everybody may.
        """
        if not self._host_net_ns:
            return None
        one = self._containers.get(mnt_ns)
        if one is None:
            return frozenset((mnt_ns,))
        task, network = one.task_id, one.net_ns if one.net_ns != self._host_net_ns else EVERYWHERE
        near = [c for c in self._containers.all() if (task and c.task_id == task) or (network and c.net_ns == network)]
        return frozenset((mnt_ns, *(c.mnt_ns for c in near)))
