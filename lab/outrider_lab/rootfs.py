"""The root file system of a lab container: this machine's own root under an overlay, nothing written to it.

Facts that shape this file:

- `lowerdir=/` takes the file system mounted at / alone: whatever is mounted below it (another disk, /run) shows as
  the empty folder it hides. What the lab needs of such places (the interpreter, the checkout) is bound in, read-only.
- upper and work lie on the lab's tmpfs, so that each container begins with the machine's files and forgets its own.
- An empty folder in the upper layer marked opaque hides the machine's /tmp: the task's begins empty, and lies on the
  overlay as on Fargate, where no tmpfs can be asked for.
- The upper layer is kept when a container is restarted, as ECS keeps it.
"""

import os
import sys
from pathlib import Path
from typing import Final

import outrider_wire
from outrider_lab.namespaces import mount
from outrider_lab.settings import Mount
from outrider_wire.errors import Unavailable

HIDDEN: Final = ("/tmp", "/var/tmp", "/dev", "/proc", "/sys")
"""Folders of the machine that a container does not get to see."""

BASES: Final = ("/mnt", "/media", "/srv", "/opt")
"""Where the lab's tmpfs may go, seen by the lab alone; nothing is written to the machine's folder."""

_OPAQUE: Final = ("tmp", "var/tmp")


def make_root(folder: Path) -> Path:
    """Lay an overlay of this machine's root in `folder`; the answer is the root made."""
    upper, work, root = folder / "upper", folder / "work", folder / "root"
    for made in (upper, work, root):
        made.mkdir(parents=True)
    upper.chmod(0o755)
    for name in _OPAQUE:
        hidden = upper / name
        hidden.mkdir(parents=True, mode=0o755)
        hidden.parent.chmod(0o755)
        hidden.chmod(0o1777)
        os.setxattr(hidden, "trusted.overlay.opaque", b"y")
    mount("overlay", str(root), options=f"lowerdir=/,upperdir={upper},workdir={work}")
    return root


def needed_folders() -> list[Path]:
    """What of this machine a container must see to run our own programs: interpreter, environment, packages."""
    packages = Path(outrider_wire.__file__).resolve().parents[2]
    places = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), packages}
    return sorted(place for place in places if place != Path("/usr"))


def mount_point_of(path: Path) -> Path:
    """The nearest folder at or above `path` on which something is mounted."""
    while not os.path.ismount(path):
        path = path.parent
    return path


def bound_folders() -> tuple[Mount, ...]:
    """Mounts for those needed folders that the overlay alone would not show."""
    return tuple(
        Mount(target=str(place), source=str(place), read_only=True)
        for place in needed_folders()
        if mount_point_of(place) != Path("/") or is_hidden(str(place))
    )


def is_hidden(path: str) -> bool:
    """Whether a container sees something of its own at this path, not this machine's file."""
    return any(path == place or path.startswith(place + "/") for place in HIDDEN)


def choose_base(in_use: tuple[str, ...] = ()) -> Path:
    """A folder of the machine to hide, in the lab's own mount namespace, under the lab's tmpfs.

    `in_use` are paths that must stay visible. Raises Unavailable where every candidate is missing or in use.
    """
    wanted = [*(str(place) for place in needed_folders()), *in_use]
    for candidate in BASES:
        if Path(candidate).is_dir() and not any(path.startswith(candidate + "/") for path in wanted):
            return Path(candidate)
    raise Unavailable(f"none of {', '.join(BASES)} can be used as a mount point", "make an empty folder /mnt")
