"""Which network is the machine's own, in which others than containers speak, and through which they are forwarded.

It is the one that the machine's first processes are in. Ours is often the same; but the task of an ECS Managed Daemon
may share the machine's processes and have a network of its own, and then that is a network like any container's. Where
the processes that are seen are not the machine's, process 1 is somebody else's, and ours is the only one to be had.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

from outrider_sidecar.linux.netns import network_of, own_network
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.log import say

FIRST: Final = (1, 2)
"""The machine's first process, and the first of the kernel's own, which may be read by some who may not read init."""


class HostNetwork(NamedTuple):
    """A network namespace, and a process in it that stays."""

    net_ns: int
    pid: int


def find_host_network(*, on_host: bool, proc: Path = PROC) -> HostNetwork:
    """The machine's own network; ours where it cannot be known, which is said. `on_host`: its processes are seen."""
    own = HostNetwork(own_network(proc=proc), os.getpid())
    if not on_host:
        say(
            "the processes seen here are not the machine's: this network is taken for the machine's own",
            sense="network",
        )
        return own
    for pid in FIRST:
        if net_ns := network_of(pid, proc=proc):
            return own if net_ns == own.net_ns else HostNetwork(net_ns, pid)
    say(
        "the network of the machine's first processes may not be read: this one is taken for the machine's own",
        sense="network",
        remedy="give it CAP_SYS_PTRACE",
    )
    return own
