"""What tests of the lab share: a stand-in for the sidecar, a task that lasts for a module, and what is left behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider_lab import cgroups
from outrider_lab.attacks import SCENARIOS
from outrider_lab.attacks.play import prepare_mounts
from outrider_lab.needs import check_needs
from outrider_lab.settings import MAIN, SIDECAR, ContainerSettings, TaskSettings
from outrider_lab.task import Task
from outrider_wire.errors import Unavailable

STAND_IN = ContainerSettings(
    name=SIDECAR,
    command=("/bin/sh", "-c", "touch /outrider/ready; exec sleep infinity"),
    added_capabilities=("CAP_SYS_PTRACE",),
    read_only_root=True,
)
"""Holds the sidecar's place, and says that it is ready."""


@pytest.fixture(scope="session")
def lab_machine() -> None:
    """Skips where the lab is not possible."""
    try:
        check_needs()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def task(lab_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Task]:
    """A task with a resident shell, the stand-in sidecar, and the mounts that scenarios want."""
    folder = tmp_path_factory.mktemp("task")
    mounts = tuple(mount for scenario in SCENARIOS for mount in prepare_mounts(scenario, folder))
    with Task(TaskSettings(main=ContainerSettings(name=MAIN, mounts=mounts), sidecar=STAND_IN)) as made:
        yield made


@pytest.fixture
def stand_in() -> TaskSettings:
    """Settings of a task of its own."""
    return TaskSettings(sidecar=STAND_IN)


class Left:
    """What labs could leave on a machine, listed."""

    def mounts(self) -> list[str]:
        """Mounts of this namespace."""
        return Path("/proc/self/mountinfo").read_text().splitlines()

    def namespaces(self) -> set[str]:
        """Network and PID namespaces that some process is in."""
        found = set()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for kind in ("net", "pid"):
                try:
                    found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
                except OSError:
                    continue
        return found

    def links(self) -> set[str]:
        """Network interfaces of this namespace."""
        return set(os.listdir("/sys/class/net"))

    def cgroups_of(self, owner: int) -> list[Path]:
        """Cgroups of the lab whose keeper had this pid."""
        return [top for top in cgroups.list_labs() if cgroups.owner_of(top.name).pid == owner]


@pytest.fixture
def left() -> Left:
    """A look at the machine."""
    return Left()
