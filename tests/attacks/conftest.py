"""One real task for each module: sidecar, collector and guarded container under runc."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_tasks import lab_machine  # noqa: F401  (a fixture)

from outrider_lab.attacks import SCENARIOS
from outrider_lab.attacks.play import prepare_mounts
from outrider_lab.settings import MAIN, ContainerSettings, guarded_task
from outrider_lab.task import Task


@pytest.fixture(scope="module")
def task(folder: Path) -> Iterator[Task]:
    """A task whose sidecar is ready, with the mounts that scenarios want."""
    mounts = tuple(mount for scenario in SCENARIOS for mount in prepare_mounts(scenario, folder))
    with Task(guarded_task(ContainerSettings(name=MAIN, mounts=mounts))) as task:
        assert task.ready, task.log("outrider")
        yield task


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for keys that both sides of a scenario need."""
    return tmp_path_factory.mktemp("scenario")
