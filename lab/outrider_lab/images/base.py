"""A base image made on this machine: Debian's next Python on a small Debian, in the place of a registry's slim one.

Made once for a user of the machine (twenty seconds and 60 MB of downloads) and kept in the user's cache, as a store
that others read images of.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from outrider_lab.images.podman import Podman
from outrider_wire.errors import Unavailable

SUITE: Final = "trixie"
NAME: Final = "localhost/outrider-base:1"
PACKAGES: Final = ("ca-certificates", "python3", "python3-pip", "python3-venv")
LEFT_OUT: Final = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
DONE: Final = "complete"
TIMEOUT_S: Final = 600.0


def cache_folder() -> Path:
    """Where the base is kept: below XDG_CACHE_HOME, else the home's .cache."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root, "outrider", f"base-{SUITE}-1")


def make_base(folder: Path | None = None) -> Path:
    """A store that holds the base image as `NAME`; made where it is not there yet. Raises Unavailable."""
    folder = folder or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / DONE).exists():
            shutil.rmtree(folder)
            _make(folder)
    return folder / "root"


def _make(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="outrider-base-") as draft:
        archive = Path(draft, "rootfs.tar")
        _bootstrap(archive)
        podman = Podman(folder=folder)
        podman.run("import", "--change", 'CMD ["python3"]', str(archive), NAME)
        podman.close()
    (folder / DONE).touch()


def _bootstrap(archive: Path) -> None:
    """A minimal Debian in a tar file."""
    command = [
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        *(SUITE, str(archive)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise Unavailable(
            f"the base image could not be made: {done.stderr[-500:].strip()}", "reach a mirror of Debian's packages"
        )
