"""How much of a machine the host process may take: the limits that the peer keeps on EC2.

Amazon GuardDuty's user guide ("Prerequisites for Amazon EC2 instance support", CPU and memory limits of the security
agent) gives its agent at most 10 % of the machine's vCPUs, and memory by the size of the machine: 128 MB below 8 GB,
256 MB below 32 GB, 1 GB from there on.
"""

import re
from typing import Final

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB

CPU_SHARE_PERCENT: Final = 10
"""Of each vCPU of the machine."""
MEMORY_STEPS: Final = ((8 * GIB, 128 * MIB), (32 * GIB, 256 * MIB))
"""Below a machine of this size, at most so much; see `LARGEST_BYTES` for what is larger."""
LARGEST_BYTES: Final = 1024 * MIB
KERNELS_PART: Final = 0.9
"""What the kernel tells of a machine's memory is its nominal size less what it took for itself: an instance sold with
8 GiB tells of some 7.6. From nine tenths on it counts as the nominal size."""


def memory_limit_bytes(machine_bytes: int) -> int:
    """Most memory for the host process on a machine with so much memory (MemTotal, or the nominal size)."""
    for below_bytes, limit_bytes in MEMORY_STEPS:
        if machine_bytes < below_bytes * KERNELS_PART:
            return limit_bytes
    return LARGEST_BYTES


def cpu_quota_percent(cpus: int) -> int:
    """systemd's CPUQuota, which counts in hundredths of one CPU."""
    return CPU_SHARE_PERCENT * cpus


def cpu_units(cpus: int) -> int:
    """The same as ECS counts, in 1024ths of a vCPU. EC2 takes no task below 128."""
    return max(128, 1024 * CPU_SHARE_PERCENT * cpus // 100)


def machine_memory_bytes(meminfo: str) -> int:
    """MemTotal of /proc/meminfo's text (proc_meminfo(5), in KiB). Raises ValueError where it is not there."""
    match = re.search(r"^MemTotal:\s+(\d+) kB$", meminfo, re.MULTILINE)
    if match is None:
        raise ValueError("no MemTotal in meminfo")
    return int(match[1]) * 1024
