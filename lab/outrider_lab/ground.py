"""What every task of a lab stands on: the lab's folder, runc, and how a container is laid out there."""

from collections.abc import Callable, Sequence
from pathlib import Path

from outrider_lab.children import Children
from outrider_lab.container import Container, open_log
from outrider_lab.metadata import TaskFacts
from outrider_lab.namespaces import MS_NODEV, MS_NOSUID, mount
from outrider_lab.rootfs import bound_folders, choose_base
from outrider_lab.runc import Runc
from outrider_lab.seccomp import convert, read_profile
from outrider_lab.services import write_facts
from outrider_lab.settings import ECS_CAPABILITIES, Mount
from outrider_lab.spec import Place

Note = Callable[[str], None]
"""Called with the name of each step of the start as it is done."""


class Ground:
    """The lab's folder, on a tmpfs that the lab's mount namespace alone has, and what is done in it."""

    def __init__(self, owner: str, children: Children, in_use: tuple[str, ...]) -> None:
        self.base = choose_base(in_use)
        self.owner = owner
        self.children = children
        mount("tmpfs", str(self.base), flags=MS_NOSUID | MS_NODEV, options="mode=711")
        (self.base / "logs").mkdir(mode=0o700)
        self.runc = Runc(children, self.base / "runc")
        self._profile = read_profile()

    def prepare(self, container: Container, place: Place, *, etc: tuple[Mount, ...]) -> None:
        """Lay out the container's file systems and write its configuration."""
        capabilities = (*ECS_CAPABILITIES, *container.settings.added_capabilities)
        seccomp = convert(self._profile, capabilities=capabilities)
        container.prepare(place, seccomp=seccomp, mounts=(*etc, *bound_folders()))

    def log(self, name: str) -> tuple[int, int, int]:
        """Descriptors for a program that has no one to talk to."""
        return open_log(self.base / "logs" / f"{name}.log")

    def publish(self, tasks: Sequence[TaskFacts]) -> None:
        """Tell the services of the tasks as they are now."""
        write_facts(tasks, self.facts)

    @property
    def facts(self) -> Path:
        """The file that the services tell from."""
        return self.base / "facts.json"
