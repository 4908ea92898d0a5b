"""A real container instance for each file: three tasks, one in each network mode, guarded by one host process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider_lab.attacks import SCENARIOS
from outrider_lab.attacks.play import prepare_mounts
from outrider_lab.host.lab import HostLab
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.needs import check_host_needs
from outrider_lab.settings import MAIN, ContainerSettings
from outrider_wire.errors import Unavailable

HELPER = ContainerSettings(name="helper", command=("/bin/sleep", "100000"))
"""A second container in each task, in which nothing happens."""


@pytest.fixture(autouse=True, scope="session")
def host_machine() -> None:
    """Skips where the kernel would not tell a host process of anything, and says why."""
    try:
        check_host_needs()
    except Unavailable as unavailable:
        pytest.skip(f"no container instance here: {unavailable}")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for keys that both sides of a scenario need."""
    return tmp_path_factory.mktemp("scenario")


@pytest.fixture(scope="module")
def lab(folder: Path, host_machine: None) -> Iterator[HostLab]:
    """The instance, ready, with the mounts that scenarios want.

    It ends with its file: two host processes on one machine, each reading every start, are what nobody runs.
    """
    mounts = tuple(mount for scenario in SCENARIOS for mount in prepare_mounts(scenario, folder))
    main = ContainerSettings(name=MAIN, mounts=mounts)
    tasks = tuple(
        HostTaskSettings(main=main, others=(HELPER,), family=family, network=network)
        for family, network in (("web", "awsvpc"), ("worker", "bridge"), ("metrics", "host"))
    )
    with HostLab(HostSettings(tasks=tasks)) as made:
        assert made.ready, made.log()
        yield made
