"""The lab's cgroups: how they are named, who is in them, and how those of dead labs are swept.

runc makes one directory in each hierarchy (version 1) or one in the single hierarchy (version 2). Nothing of
them goes by itself, so the top one carries its owner's name, pid and start time: `outrider-lab-PID-TICKS`. Below
it lie the paths that a Fargate task has: `ecs/<task>/<container>`. Sweeping only ever removes empty directories:
it cannot hurt a lab of another PID namespace whose owner looks dead from here.
"""

import errno
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.procfs import PROC, read_stat
from outrider_wire.errors import ProcessGone
from outrider_wire.events import ProcessId

CGROUPS: Final = Path("/sys/fs/cgroup")
PREFIX: Final = "outrider-lab-"
_NAME: Final = re.compile(rf"{PREFIX}(\d+)-(\d+)\Z")


def name_of(owner: ProcessId) -> str:
    """The top directory of a lab whose keeper is `owner`."""
    return f"{PREFIX}{owner.pid}-{owner.start_ticks}"


def owner_of(name: str) -> ProcessId:
    """The keeper a top directory names. Raises ValueError for a name that is not ours."""
    found = _NAME.match(name)
    if not found:
        raise ValueError(f"not a cgroup of the lab: {name!r}")
    return ProcessId(int(found[1]), int(found[2]))


def list_labs(*, root: Path = CGROUPS) -> Iterator[Path]:
    """Every top directory of every lab, in every hierarchy."""
    for place in (root, *(entry for entry in sorted(root.glob("*")) if entry.is_dir())):
        for found in sorted(place.glob(f"{PREFIX}*")):
            if _NAME.match(found.name):
                yield found


def is_alive(owner: ProcessId, *, proc: Path = PROC) -> bool:
    """Whether that very process still runs (a pid is used again, the start time is not). A zombie does not."""
    try:
        stat = read_stat(owner.pid, proc=proc)
        return stat.process == owner and stat.state not in "ZX"
    except ProcessGone:
        return False


def sweep(*, root: Path = CGROUPS, proc: Path = PROC) -> list[Path]:
    """Remove what labs that are dead left behind; the answer names what was removed."""
    return [top for top in list_labs(root=root) if not is_alive(owner_of(top.name), proc=proc) and remove(top)]


def remove_own(owner: ProcessId, *, root: Path = CGROUPS, within_s: float = 2.0) -> bool:
    """Remove a lab's own directories once its processes are gone; False where some would not go in time."""
    deadline = time.monotonic() + within_s
    while True:
        left = [top for top in list_labs(root=root) if top.name == name_of(owner) and not remove(top)]
        if not left:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)  # the kernel lets go of the last member a moment after its end


def remove(top: Path) -> bool:
    """Remove a tree of empty cgroups, deepest first; False where one is in use."""
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            Path(folder).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def members(path: str, *, root: Path = CGROUPS) -> list[int]:
    """The processes in a cgroup, as pids of the reader's own PID namespace, in ascending order."""
    for place in (root / "pids", root / "devices", root, root / "unified"):
        listing = place / path.lstrip("/") / "cgroup.procs"
        try:
            return sorted(int(line) for line in listing.read_text().split())
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno != errno.ENODEV:  # it was removed while it was read
                raise
    return []
