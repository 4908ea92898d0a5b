"""A task of a container instance put together: a PID namespace for each container, one of three networks."""

from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom

from outrider_lab import network
from outrider_lab.assembly import describe
from outrider_lab.blueprint import complete, hostname, new_task_id, write_etc
from outrider_lab.container import Container
from outrider_lab.ground import Ground
from outrider_lab.host.machine import LOOPBACK, Machine
from outrider_lab.host.settings import HostTaskSettings
from outrider_lab.metadata import TaskFacts, task_arn
from outrider_lab.namespaces import unmount
from outrider_lab.settings import ContainerSettings, Mount
from outrider_lab.spec import Place


class HostTask:
    """One task of an instance.

    `numbers` are those of its addresses, one for each network namespace it has of its own. `publish` tells the agent
    of all tasks.
    """

    def __init__(
        self,
        settings: HostTaskSettings,
        ground: Ground,
        machine: Machine,
        numbers: tuple[int, ...],
        publish: Callable[[], None],
    ) -> None:
        random = SystemRandom()
        self.settings = settings
        self.task_id = new_task_id(random)
        self.numbers = numbers
        self.publish = publish
        self._ground = ground
        self._machine = machine
        self._folder = ground.base / "tasks" / self.task_id
        self._made: list[Path] = []
        self._networks = self._make_networks()
        names = [one.name for one in (settings.main, *settings.others)]
        if len(set(names)) != len(names):
            raise ValueError(f"two containers have one name: {', '.join(names)}")
        self.listed = tuple(self._lay_out(one, random) for one in (settings.main, *settings.others))
        self.main, *others = self.listed
        self.others = tuple(others)

    @property
    def runs(self) -> bool:
        """Whether a container of it still runs."""
        return any(one.pid for one in self.listed)

    @property
    def address(self) -> str:
        """Where the task (in `bridge` mode its main container) is reached."""
        return network.address_of(self.numbers[0]) if self.numbers else LOOPBACK

    @property
    def peers(self) -> Path | None:
        """The network namespace of those that the task talks to; None is the lab's own."""
        return None if self.numbers else self._machine.network

    def container(self, name: str) -> Container:
        """Raises ValueError for a name that no container has."""
        for container in self.listed:
            if container.settings.name == name:
                return container
        raise ValueError(f"no container is called {name!r}")

    def log_of(self, container: Container) -> tuple[int, int, int]:
        """Descriptors for a container that has no one to talk to."""
        return self._ground.log(f"{self.settings.family}-{container.settings.name}")

    def facts(self, cluster: str) -> TaskFacts:
        """What the agent tells of it."""
        settings = self.settings
        return TaskFacts(
            task_id=self.task_id,
            address=self.address,
            containers=tuple(one.facts() for one in self.listed),
            cluster=cluster,
            family=settings.family,
            revision=settings.revision,
            launch_type="EC2",
            network=settings.network,
        )

    def describe(self, cluster: str) -> dict[str, str]:
        """What the asking program needs to find the parts."""
        attacker = network.ATTACKER_ADDRESS if self.numbers else LOOPBACK
        return describe(self.task_id, task_arn(self.task_id, cluster), self._ground, self.listed) | {
            "address": self.address,
            "attacker": attacker,
        }

    def remove(self) -> None:
        """Take away what is left once no container runs."""
        for container in self.listed:
            container.remove()
        for number, namespace in zip(self.numbers, self._made, strict=True):
            network.leave_bridge(number)
            unmount(str(namespace))

    def _make_networks(self) -> tuple[Path, ...]:
        """The namespaces of the containers, in their order; the last serves those that have none of their own."""
        self._folder.mkdir(parents=True)
        for number in self.numbers:
            at = self._folder / f"network-{number}"
            network.make_task_namespace(at)
            self._made.append(at)
            network.join_bridge(at, number)
        return tuple(self._made) or (self._machine.network,)

    def _lay_out(self, settings: ContainerSettings, random: Random) -> Container:
        container_id = f"{random.getrandbits(256):064x}"
        folder = self._folder / "containers" / settings.name
        position = len(list(self._folder.glob("etc-*")))
        names = network.NAME_SERVER if self.numbers else self._machine.names_address
        at = min(position, len(self._networks) - 1)
        address = network.address_of(self.numbers[at]) if self.numbers else LOOPBACK
        etc = write_etc(self._folder / f"etc-{position}", address, name_server=names)
        metadata = network.METADATA_URL if self.numbers else self._machine.agent_uri
        complete_settings = complete(settings, container_id, address=address, launch="EC2", metadata=metadata)
        container = Container(complete_settings, container_id, folder, self._ground.runc)
        self._prepare(container, self._networks[at], address, etc)
        return container

    def _prepare(self, container: Container, namespace: Path, address: str, etc: tuple[Mount, ...]) -> None:
        path = f"ecs/{self.task_id}" if self.settings.cgroup == "ecs" else "docker"
        place = Place(
            root="",
            cgroup=f"/{self._ground.owner}/{path}/{container.id}",
            hostname=hostname(address),
            network_namespace=str(namespace),
        )
        self._ground.prepare(container, place, etc=etc)


def numbers_wanted(settings: HostTaskSettings) -> int:
    """How many network namespaces a task has of its own."""
    return {"awsvpc": 1, "bridge": 1 + len(settings.others), "host": 0}[settings.network]
