"""What the lab needs of a machine, looked at before anything is made."""

import os
import shutil
from typing import Final

from outrider_lab.seccomp import PROFILE
from outrider_wire.errors import Unavailable

TOOLS: Final = {"runc": "runc", "ip": "iproute2"}
"""Program to Debian package."""
FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC
"""Its inode number (PROC_PID_INIT_INO in the kernel)."""


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


def check_host_needs() -> None:
    """Raises Unavailable where the kernel would not tell a host process of anything.

    The proc connector answers only in the machine's first PID and network namespaces. The first PID namespace has a
    fixed inode number; the network's has not, but kernel threads live there alone.
    """
    check_needs()
    if os.stat("/proc/self/ns/pid").st_ino != FIRST_PID_NAMESPACE:
        raise Unavailable("this is not the machine's first PID namespace", "run it outside any container")
    if os.readlink("/proc/self/ns/net") != os.readlink("/proc/2/ns/net"):
        raise Unavailable("this is not the machine's first network namespace", "run it outside any container")


def missing_tools(programs: tuple[str, ...]) -> list[str]:
    """Those of the programs that this machine has not got."""
    return [program for program in programs if shutil.which(program) is None and not os.path.exists(program)]
