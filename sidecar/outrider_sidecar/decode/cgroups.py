"""Cgroup paths: which container, and which ECS task, a process is of. Pure.

The content of /proc/PID/cgroup, cgroups(7), is one line for each hierarchy: `number:controllers:path`, or `0::path`
for version 2. Who makes containers puts each in a directory of its own, named by its id:

| path | by |
| --- | --- |
| `/ecs/<task>/<container>`, `/ecs/<cluster>/<task>/<container>` | ECS, version 1, and Fargate |
| `/ecstasks.slice/ecstasks-<task>.slice/docker-<container>.scope` | ECS, version 2 with systemd |
| `/docker/<container>` | Docker by itself, or ECS without limits for the whole task |
| `/system.slice/docker-<container>.scope` | the same with systemd |
| `/<namespace>/<container>`, `…/cri-containerd-<container>.scope`, `…/libpod-<container>.scope` | containerd, podman |

A path may begin with `..` parts (the reader has a cgroup namespace of its own) or go on below the container (systemd or
another container engine inside it). `ids` therefore holds every container's id in it, outermost first. What lies below
a container is made by whoever may write to its cgroups: it says which container in which, and never whose.
"""

import re
from typing import Final

from msgspec import Struct

MAX_TEXT: Final = 16 * 1024
"""Most of the text that is looked at, in characters: some dozen lines of PATH_MAX would be more than any kernel has."""
MAX_IDS: Final = 8

_ID: Final = re.compile(r"(?<![0-9a-f])([0-9a-f]{32}-\d{1,10}|[0-9a-f]{64})(?![0-9a-f])")
_TASK: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SLICE: Final = re.compile(rf"ecstasks-({_TASK.pattern})\.slice")
_MONITOR: Final = re.compile(r"(?:\A|-)conmon-")
"""podman's and CRI-O's monitors live in a scope that is named after their container, and outside of it."""


class CgroupIdentity(Struct, frozen=True, gc=False):
    """What the path says. Empty where it says nothing: of no container, of no ECS task, or hidden by a namespace."""

    ids: tuple[str, ...] = ()
    task_id: str = ""
    cluster: str = ""

    @property
    def container_id(self) -> str:
        """The innermost container's id."""
        return self.ids[-1] if self.ids else ""


NOTHING: Final = CgroupIdentity()


def parse_cgroup(text: str) -> CgroupIdentity:
    """The identity in the content of /proc/PID/cgroup, or in one bare path: of the line that says most."""
    best = NOTHING
    for line in text[:MAX_TEXT].splitlines():
        found = _parse_path(line.split(":", 2)[-1])
        if (bool(found.task_id), len(found.ids)) > (bool(best.task_id), len(best.ids)):
            best = found
    return best


def _parse_path(path: str) -> CgroupIdentity:
    parts = [part for part in path.split("/") if part and part != ".."]
    ids = [match[1] for part in parts if not _MONITOR.search(part) for match in _ID.finditer(part)]
    cluster, task_id = _task_of(parts)
    return CgroupIdentity(tuple(ids[-MAX_IDS:]), task_id, cluster)


def _task_of(parts: list[str]) -> tuple[str, str]:
    """Cluster and task of the outermost part that names a task."""
    for place, part in enumerate(parts):
        if part == "ecs":
            below = parts[place + 1 : place + 4]
            if len(below) > 1 and _TASK.fullmatch(below[0]) and _ID.fullmatch(below[1]):
                return "", below[0]
            if len(below) > 2 and _TASK.fullmatch(below[1]) and _ID.fullmatch(below[2]):
                return below[0], below[1]
        elif (found := _SLICE.fullmatch(part)) is not None:
            return "", found[1]
    return "", ""
