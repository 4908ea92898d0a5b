"""What a container's memory came to, by the kernel's books: its cgroup, of either version, and its processes."""

from pathlib import Path
from typing import Final

from msgspec import Struct

ROOT: Final = Path("/sys/fs/cgroup")


class Memory(Struct, frozen=True):
    """`peak_bytes` counts files in the page cache too, `pss_bytes` is of the living processes together.

    `failures` is how often the limit was run into.
    """

    limit_bytes: int
    peak_bytes: int
    failures: int
    pss_bytes: int


def memory_of(pid: int) -> Memory:
    """Of the cgroup that a process is in."""
    folder, is_old = _cgroup(pid)
    if is_old:
        limit, peak = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.max_usage_in_bytes")
        failures = _number(folder / "memory.failcnt")
    else:
        limit, peak = _number(folder / "memory.max"), _number(folder / "memory.peak")
        events = dict(line.split() for line in (folder / "memory.events").read_text().splitlines())
        failures = int(events["max"])
    pids = [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    return Memory(limit, peak, failures, sum(map(_pss_bytes, pids)))


def _cgroup(pid: int) -> tuple[Path, bool]:
    """Where the memory controller has a process, and whether that is cgroup version 1."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return ROOT / "memory" / path.lstrip("/"), True
    return ROOT / path.lstrip("/"), False


def _number(file: Path) -> int:
    text = file.read_text().strip()
    return -1 if text == "max" else int(text)


def _pss_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) << 10
