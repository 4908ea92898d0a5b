"""An ECS agent on loopback, containers, and the state of a guard that has no sensors."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ecs_agent import Agent

from outrider_sidecar.intake import Intake
from outrider_sidecar.world.containers import Containers
from outrider_sidecar.world.drift import DriftRecord
from outrider_sidecar.world.tree import ProcessTree


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An agent that tells of two tasks."""
    made = Agent()
    yield made
    made.close()


def make_containers(**kw: object) -> Containers:
    """Containers whose drift begins when they do."""
    return Containers(lambda mnt_ns, started_ns, ident: DriftRecord(started_ns), **kw)  # type: ignore[arg-type]


@pytest.fixture
def new_containers() -> Callable[..., Containers]:
    return make_containers


class Hosted(SimpleNamespace):
    """What chores know of a guard: its containers, tree and intake; `work` does what the engine's loop does."""

    containers: Containers
    tree: ProcessTree
    intake: Intake

    def work(self, chore: Callable[[object], None], until: Callable[[], bool], *, within_s: float = 20.0) -> None:
        """Call the chore and run errands until something holds."""
        deadline = time.monotonic() + within_s
        while not until():
            assert time.monotonic() < deadline, "it did not come about"
            chore(self)
            item = self.intake.take(0.01)
            if callable(item):
                item()
            elif item is not None:
                self.events.append(item)


@pytest.fixture
def hosted() -> Hosted:
    """A guard's state without sensors."""
    made = Hosted(containers=make_containers(), tree=ProcessTree(), intake=Intake(clock_ns=time.time_ns), events=[])
    made.rebased = 0

    def rebase() -> None:
        made.rebased += 1

    made.rebase = rebase
    made.forgotten = []
    made.forget = made.forgotten.extend
    return made


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB that can really be filled."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.decode()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)
