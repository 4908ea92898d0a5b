"""Docker's default seccomp profile, turned from the form it is shared in to the form that runc takes.

The shared form (containers-common's seccomp.json) carries conditions beside its rules: a rule holds only on some
architectures, or only with, or without, some capabilities. The OCI form knows no conditions, so a profile is
worked out for each set of capabilities, exactly as Docker and containerd do when a container starts.
"""

import json
import platform
from pathlib import Path
from typing import Any, Final

from outrider_wire.errors import Unavailable

PROFILE: Final = Path("/usr/share/containers/seccomp.json")

_ARCHITECTURES: Final = {"x86_64": ("SCMP_ARCH_X86_64", "amd64"), "aarch64": ("SCMP_ARCH_AARCH64", "arm64")}
"""Machine name to libseccomp's name and the profile's own."""

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
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": [scmp, *(name for names in sub for name in names or ())],
        "syscalls": [_rule(rule) for rule in profile["syscalls"] if _holds(rule, set(capabilities), short)],
    }


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
