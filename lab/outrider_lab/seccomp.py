"""Docker's default seccomp profile, turned from the form it is shared in to the form that runc takes.

The shared form (containers-common's seccomp.json) carries conditions beside its rules: a rule holds only on some
architectures, or only with, or without, some capabilities. The OCI form knows no conditions, so a profile is
worked out for each set of capabilities, exactly as Docker and containerd do when a container starts.

The file that Debian ships is Podman's, which lets anyone make user namespaces and try to mount. Docker's does not:
what it keeps for CAP_SYS_ADMIN is taken out again here (`_REFUSED`), clone(2) is allowed without namespace flags
alone, clone3(2) answers ENOSYS so that C libraries fall back to clone(2), and the rest is refused with EPERM.
"""

import json
import platform
from pathlib import Path
from typing import Any, Final

from outrider_wire.errors import Unavailable

PROFILE: Final = Path("/usr/share/containers/seccomp.json")

_ARCHITECTURES: Final = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}
"""Machine name to libseccomp's name and the profile's own."""

_EPERM: Final = 1
_ENOSYS: Final = 38
_NAMESPACE_FLAGS: Final = 0x7E020000
"""The CLONE_NEW… flags of clone(2), as Docker's profile masks them."""

_REFUSED: Final = frozenset(
    {
        *("fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree"),
        *("keyctl", "pivot_root", "reboot", "setns", "syslog", "umount", "umount2", "unshare"),
    }
)
"""Calls that Podman's profile allows to everyone, and Docker's to none of ECS's containers."""

_TIGHTENED: Final = _REFUSED | {"clone", "clone3"}

Json = dict[str, Any]
"""Any: a profile is foreign JSON until `convert` has gone through it."""


def read_profile(*, path: Path = PROFILE) -> Json:
    """The shared form, parsed. Raises Unavailable where the file is missing."""
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise Unavailable(
            f"{path} is missing", "install the package golang-github-containers-common"
        ) from error


def convert(profile: Json, *, capabilities: tuple[str, ...], machine: str = platform.machine()) -> Json:
    """The OCI form of a profile for a container with these capabilities on this machine."""
    if machine not in _ARCHITECTURES:
        raise Unavailable(f"no seccomp profile for {machine}")
    scmp, short = _ARCHITECTURES[machine]
    sub = [entry["subArchitectures"] for entry in profile["archMap"] if entry["architecture"] == scmp]
    held = [_rule(rule) for rule in profile["syscalls"] if _holds(rule, set(capabilities), short)]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": _EPERM,
        "architectures": [scmp, *(name for names in sub for name in names or ())],
        "syscalls": held if "CAP_SYS_ADMIN" in capabilities else _tighten(held),
    }


def _tighten(rules: list[Json]) -> list[Json]:
    """The rules with Docker's refusals in the place of Podman's permissions."""
    kept = [{**rule, "names": [name for name in rule["names"] if name not in _TIGHTENED]} for rule in rules]
    flags = {"index": 0, "value": _NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    return [
        *(rule for rule in kept if rule["names"]),
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [flags]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS, "args": []},
        {"names": sorted(_REFUSED), "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM, "args": []},
    ]


def _holds(rule: Json, capabilities: set[str], architecture: str) -> bool:
    wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
    if wanted.get("arches") and architecture not in wanted["arches"]:
        return False
    if architecture in (unwanted.get("arches") or ()):
        return False
    if not capabilities.issuperset(wanted.get("caps") or ()):
        return False
    return not capabilities.intersection(unwanted.get("caps") or ())


def _rule(rule: Json) -> Json:
    made: Json = {"names": rule["names"], "action": rule["action"], "args": rule.get("args") or []}
    if "errnoRet" in rule:
        made["errnoRet"] = rule["errnoRet"]
    return made
