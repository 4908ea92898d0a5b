"""The OCI runtime specification of a lab container: a pure function from settings to runc's config.json.

What ECS on Fargate gives a container is here and nothing else: its capabilities, Docker's masked and read-only
paths, a /dev of its own with its own devpts, new privileges allowed, nofile raised.
"""

from typing import Any, Final

from msgspec import Struct

from outrider_lab.settings import ECS_CAPABILITIES, ContainerSettings, Mount

Json = dict[str, Any]
"""Any: the specification is JSON for runc; nothing of ours reads it back."""

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOFILE: Final = 65535
"""Fargate's default; lowered to the machine's own limit where that is smaller."""

_MASKED: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class Place(Struct, frozen=True):
    """Where a container runs: its root, its cgroup, and the namespaces it joins (empty: makes its own, of pid)."""

    root: str
    cgroup: str
    hostname: str
    network_namespace: str
    pid_namespace: str = ""
    nofile: int = NOFILE


def build_spec(container: ContainerSettings, place: Place, *, seccomp: Json, mounts: tuple[Mount, ...]) -> Json:
    """config.json of a container; `mounts` are bound after the file systems every container has."""
    capabilities = [*ECS_CAPABILITIES, *container.added_capabilities]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": list(container.command),
            "env": [f"{name}={value}" for name, value in container.env.items()],
            "cwd": container.cwd,
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": place.nofile, "soft": place.nofile}],
            "noNewPrivileges": False,
        },
        "root": {"path": place.root, "readonly": container.read_only_root},
        "hostname": place.hostname,
        "mounts": [*_file_systems(container), *(_bind(mount) for mount in mounts)],
        "linux": {
            "namespaces": _namespaces(place),
            "cgroupsPath": place.cgroup,
            "resources": _resources(container),
            "seccomp": seccomp,
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }


def _namespaces(place: Place) -> list[Json]:
    pid: Json = {"type": "pid"}
    if place.pid_namespace:
        pid["path"] = place.pid_namespace
    return [
        {"type": "mount"},
        {"type": "uts"},
        {"type": "ipc"},
        {"type": "network", "path": place.network_namespace},
        pid,
    ]


def _resources(container: ContainerSettings) -> Json:
    resources: Json = {"devices": [{"allow": False, "access": "rwm"}]}
    if container.memory_bytes:
        resources["memory"] = {"limit": container.memory_bytes}
    return resources


def _file_systems(container: ContainerSettings) -> list[Json]:
    own = [
        _tmpfs("/dev", "mode=755", "size=65536k", flags=("nosuid", "strictatime")),
        _mount("devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        _tmpfs("/dev/shm", "mode=1777", "size=65536k", flags=("nosuid", "noexec", "nodev")),
        _mount("mqueue", "/dev/mqueue", "nosuid", "noexec", "nodev"),
        _mount("proc", "/proc"),
        _mount("sysfs", "/sys", "nosuid", "noexec", "nodev", "ro"),
    ]
    if container.read_only_root:
        own.append(_tmpfs("/tmp", "mode=1777", "size=16384k", flags=("nosuid", "nodev")))
    return own


def _mount(kind: str, target: str, *options: str) -> Json:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _tmpfs(target: str, *options: str, flags: tuple[str, ...]) -> Json:
    return _mount("tmpfs", target, *flags, *options)


def _bind(mount: Mount) -> Json:
    options = ["rbind", "ro" if mount.read_only else "rw", "rprivate"]
    return {"destination": mount.target, "type": "bind", "source": mount.source, "options": options}
