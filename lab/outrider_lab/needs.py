"""What the lab needs of a machine, looked at before anything is made."""

import os
import shutil
from typing import Final

from outrider_lab.seccomp import PROFILE
from outrider_wire.errors import Unavailable

TOOLS: Final = {"runc": "runc", "ip": "iproute2"}
"""Program to Debian package."""


def check_needs() -> None:
    """Raises Unavailable with the first thing that is missing, and what would mend it."""
    if os.geteuid() != 0:
        raise Unavailable("the lab makes namespaces and mounts, which only root may", "run it as root (sudo)")
    for program, package in TOOLS.items():
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            raise Unavailable(f"{program} is missing", f"install the package {package}")
    if not PROFILE.exists():
        raise Unavailable(f"{PROFILE} is missing", "install the package golang-github-containers-common")
    with open("/proc/filesystems") as listing:
        if not any(line.split()[-1] == "overlay" for line in listing):
            raise Unavailable("this kernel has no overlay file system", "modprobe overlay")


def missing_tools(programs: tuple[str, ...]) -> list[str]:
    """Those of the programs that this machine has not got."""
    return [program for program in programs if shutil.which(program) is None and not os.path.exists(program)]
