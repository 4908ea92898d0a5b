"""Cgroups of dead labs are swept by name; those of living ones are left alone."""

import os
from pathlib import Path

import pytest

from outrider_lab import cgroups
from outrider_sidecar.linux.procfs import read_stat
from outrider_wire.events import ProcessId

ME = read_stat(os.getpid()).process


def lay_out(root: Path, owner: ProcessId) -> list[Path]:
    made = [root / place / cgroups.name_of(owner) / "ecs/task/container" for place in ("pids", "memory", ".")]
    for folder in made:
        folder.mkdir(parents=True)
    return made


def test_a_dead_lab_is_swept(tmp_path: Path):
    """Every hierarchy loses the tree of a lab whose keeper is gone."""
    lay_out(tmp_path, ProcessId(ME.pid, ME.start_ticks + 1))
    assert len(cgroups.sweep(root=tmp_path)) == 3
    assert list(cgroups.list_labs(root=tmp_path)) == []


def test_a_living_lab_is_left_alone(tmp_path: Path):
    """A keeper that runs keeps its cgroups."""
    made = lay_out(tmp_path, ME)
    assert cgroups.sweep(root=tmp_path) == []
    assert all(folder.is_dir() for folder in made)


def test_other_names_are_left_alone(tmp_path: Path):
    """A directory that only begins like ours is nobody's business."""
    (tmp_path / "pids" / "outrider-lab-notes").mkdir(parents=True)
    assert cgroups.sweep(root=tmp_path) == []


def test_a_cgroup_in_use_is_not_forced(tmp_path: Path):
    """What cannot be removed stays, and is not counted as swept."""
    made = lay_out(tmp_path, ProcessId(ME.pid, ME.start_ticks + 1))
    (made[0] / "busy").write_text("")
    assert len(cgroups.sweep(root=tmp_path)) == 2
    assert made[0].is_dir()


@pytest.mark.parametrize("name", ["", "outrider-lab-", "outrider-lab-1", "outrider-lab-1-2-3", "outrider-lab-a-b"])
def test_foreign_names_are_refused(name: str):
    """Only the exact form names an owner."""
    with pytest.raises(ValueError):
        cgroups.owner_of(name)
