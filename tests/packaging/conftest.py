"""The wheel, built once; and an install of it that has the dependencies of the bare install and no others."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip would build it, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that holds what `pip install outrider` would bring, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    text = (next(folder.glob("*.dist-info")) / "METADATA").read_text()
    for name in set(needed_by(re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE))):
        for top in {Path(file.parts[0]) for file in metadata.files(name) or [] if ".." not in file.parts}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(metadata.distribution(name).locate_file(top))))
    return folder


def needed_by(requirements: list[str]) -> Iterator[str]:
    """Distributions that are required outside any extra, and what those need in turn."""
    for line in requirements:
        requirement, _, marker = line.partition(";")
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        if match is None or "extra" in marker:
            continue
        try:
            inner = metadata.requires(match[0]) or []
        except metadata.PackageNotFoundError:
            continue  # its marker is not for this interpreter
        yield match[0]
        yield from needed_by(inner)


@pytest.fixture
def outrider(bare: Path, tmp_path: Path) -> Run:
    """Run a module with the bare install alone: no site-packages, no checkout."""

    def run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OUTRIDER_", "PYTHON"))}
        return subprocess.run(
            [sys.executable, "-S", "-s", "-m", module, *arguments],
            env={**kept, "PYTHONPATH": str(bare), "PYTHONDONTWRITEBYTECODE": "1", **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
