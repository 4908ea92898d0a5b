"""Our image, built once for these tests by podman from the Dockerfile as it is; nothing of it is left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from outrider_lab.images import SIDECAR, Pod, Podman, build, check_podman, make_base
from outrider_wire.errors import Unavailable

ROOT = Path(__file__).parents[2]
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """A store of its own over the base that is made once; skips where podman is missing."""
    try:
        check_podman()
        store = make_base()
    except Unavailable as error:
        pytest.skip(str(error))
    with Podman(shared=store) as made:
        yield made
    assert not made.folder.exists()
    assert str(made.folder) not in Path("/proc/self/mountinfo").read_text()
    assert not list(Path("/sys/fs/cgroup").glob(f"*{made.cgroup}"))


@pytest.fixture(scope="session")
def sidecar(podman: Podman) -> str:
    """The sidecar's image."""
    build(podman, ROOT, target="sidecar", name=SIDECAR, revision=REVISION)
    return SIDECAR


@pytest.fixture(scope="session")
def tree(podman: Podman, sidecar: str) -> Iterator[Path]:
    """The image's files, to look at."""
    yield Path(podman.run("image", "mount", sidecar))
    podman.run("image", "unmount", sidecar)


@pytest.fixture(scope="module")
def pod(podman: Podman, sidecar: str) -> Iterator[Pod]:
    """A guarded task that lasts for a module."""
    with Pod(podman, sidecar) as made:
        yield made
