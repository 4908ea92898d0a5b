"""podman with a store, locks and cgroups of its own: what it makes lies in one folder, and goes with that.

Facts that shape this file:

- crun 1.8 refuses a hybrid cgroup hierarchy, runc 1.1 copes; without systemd the cgroup manager is `cgroupfs`.
- The default limits ask for more open files than a sandbox may allow: they are named here, low.
- podman's default capabilities lack three of ECS's, and its seccomp profile allows more than Docker's: both are given.
- A store may read images of another store that it never writes to: so the base is made once and kept.
- Locks in shared memory would be shared with every other podman of the machine: files are not.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from outrider_lab.needs import check_needs
from outrider_lab.seccomp import convert, read_profile
from outrider_lab.settings import ECS_CAPABILITIES
from outrider_wire.errors import Unavailable

PROGRAMS: Final = {
    "podman": "podman",
    "conmon": "conmon",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "runc": "runc",
}
"""Program to Debian package."""
TIMEOUT_S: Final = 300.0
ROOM_BYTES: Final = 4 << 30
SAID: Final = 2000
"""Most characters of a failed command's output that are told of."""


def check_podman() -> None:
    """Raises Unavailable with the first thing that is missing, and what would mend it."""
    check_needs()
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is missing", f"install the package {package}")


def roomy_memory() -> Path | None:
    """A file system in memory with room for a build, which the disk would make wait; None where there is none."""
    folder = Path("/dev/shm")
    return folder if os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > ROOM_BYTES else None


class Podman:
    """One store and all that runs from it. `shared` is a store that is only read. Leaving it takes all of it away."""

    def __init__(self, *, shared: Path | None = None, folder: Path | None = None) -> None:
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="outrider-podman-", dir=roomy_memory()))
        self.cgroup = f"/outrider-image-{os.getpid()}-{self.folder.name[-8:]}"
        self.seccomp = self.folder / "seccomp.json"
        self._environment = {**os.environ, **self._configure(shared)}

    def _configure(self, shared: Path | None) -> Mapping[str, str]:
        self.folder.mkdir(exist_ok=True, parents=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        capabilities = [name.removeprefix("CAP_") for name in ECS_CAPABILITIES]
        containers = f"""[containers]
default_capabilities = {json.dumps(capabilities)}
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
seccomp_profile = "{self.seccomp}"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "{self.folder}/tmp/libpod"
"""
        stores = json.dumps([str(shared)] if shared else [])
        storage = f"""[storage]
driver = "overlay"
graphroot = "{self.folder}/root"
runroot = "{self.folder}/run"
[storage.options]
additionalimagestores = {stores}
"""
        self.seccomp.write_text(json.dumps(convert(read_profile(), capabilities=ECS_CAPABILITIES)))
        (self.folder / "containers.conf").write_text(containers)
        (self.folder / "storage.conf").write_text(storage)
        return {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "TMPDIR": str(self.folder / "tmp"),
        }

    @property
    def environment(self) -> dict[str, str]:
        """What another program needs to use this store with podman."""
        return dict(self._environment)

    def run(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
        """A podman command; what it printed. Raises RuntimeError with what it said where it failed."""
        done = self.try_to(*arguments, timeout_s=timeout_s)
        if done.returncode:
            said = (done.stdout[-SAID:] + done.stderr[-SAID:]).strip()
            raise RuntimeError(f"podman {' '.join(arguments)}: exit code {done.returncode}: {said}")
        return done.stdout.strip()

    def try_to(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """A podman command, whatever comes of it."""
        return subprocess.run(
            ["podman", *arguments],
            env=self._environment,
            cwd=self.folder,  # conmon leaves a file where it was started when its container runs out of memory
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def inspect(self, name: str) -> dict[str, Any]:
        """What podman knows of a container or an image (Any: podman's own JSON)."""
        return dict(json.loads(self.run("inspect", name))[0])

    def close(self) -> None:
        """End everything that runs, and take the store away where it was made for this alone."""
        self.try_to("pod", "rm", "--all", "--force", "--time", "0")
        self.try_to("rm", "--all", "--force", "--time", "0")
        self.try_to("image", "umount", "--all", "--force")
        for top in Path("/sys/fs/cgroup").glob(f"*{self.cgroup}"):
            remove_cgroups(top)
        if self._temporary:
            shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def remove_cgroups(top: Path) -> None:
    """Take empty cgroups away, the innermost first; one that is in use stays."""
    for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
        _remove(folder)
    _remove(top)


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # somebody is still ending in it
