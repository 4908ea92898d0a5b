"""Containers that could read the sidecar's key, or undo what keeps them from it.

The sidecar's processes are closed to root in the other containers, but not to one with SYS_PTRACE (SECURITY.md). The
key and the journal are also open to whoever mounts the sidecar's volume.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.checks.containers import FIELD
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import find_sidecar, others_of, undo_of
from outrider_cdk.rewriting.problems import Path, Problem, error, warning
from outrider_cdk.rewriting.shapes import as_list, as_object, as_text

READING: Final = ("SYS_PTRACE", "ALL")
"""Capabilities that open the sidecar's processes."""
STRONG: Final = ("SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "BPF", "PERFMON", "DAC_READ_SEARCH")
"""Capabilities with which a container may get at the machine, and so at the sidecar."""
HOST_PATHS: Final = ("/", "/proc", "/var/run/docker.sock", "/run/docker.sock", "/run", "/var/run", "/run/containerd")
"""Directories of the machine that lead to every container on it."""


def check_privileges(task: Mapping[str, Any], _options: GuardOptions) -> Iterator[Problem]:
    """Refuse guarded containers that could read the key; warn of those that may come to it."""
    for index, container in others_of(task):
        at: Path = (FIELD, index)
        remedy = "Take it away from the container; where it must stay and is trusted, accept `reads-key`."
        if container.get("privileged") is True or as_text(container.get("privileged")).lower() == "true":
            says = "A privileged container can read the sidecar's key and sign in its name."
            yield error((*at, "privileged"), "reads-key", says, remedy)
        path: Path = (*at, "linuxParameters", "capabilities", "add")
        for place, name in enumerate(_added(container)):
            plain = as_text(name).upper().removeprefix("CAP_")
            if plain in READING:
                says = f"A container with {plain} can read the sidecar's key and sign in its name."
                yield error((*path, place), "reads-key", says, remedy)
            elif plain in STRONG:
                says = f"With {plain} the container may get at the machine, and so at the sidecar."
                yield warning((*path, place), "strong-capability", says, "Take it away where it is not needed.")


def check_journal(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """The journal's volume is the sidecar's alone, and no way leads around it."""
    found = find_sidecar(task)
    name = as_text(found[1].get("name")) if found else options.container_name
    volume = _journal_of(task, options)
    for index, container in others_of(task):
        for place, mount in enumerate(as_list(container.get("mountPoints"))):
            if as_object(mount).get("sourceVolume") == volume:
                yield _shared((FIELD, index, "mountPoints", place))
        for place, other in enumerate(as_list(container.get("volumesFrom"))):
            if as_object(other).get("sourceContainer") == name:
                yield _shared((FIELD, index, "volumesFrom", place))
    for index, entry in enumerate(as_list(task.get("volumes"))):
        entry = as_object(entry)
        if entry.get("name") == volume and (found is None or set(entry) - {"name", "host"} or _host(entry)):
            says = f"The volume {volume!r} is not the sidecar's own empty one."
            yield error(
                ("volumes", index), "volume-taken", says, "Choose another name for the journal's (volume_name)."
            )
        elif _host(entry).rstrip("/") in [path.rstrip("/") for path in HOST_PATHS] and _host(entry):
            says = f"Whoever mounts {_host(entry)} of the machine reaches every container on it, the sidecar included."
            yield warning(("volumes", index), "host-path", says, "Mount less of the machine.")


def _journal_of(task: Mapping[str, Any], options: GuardOptions) -> str:
    """The name of the journal's volume, in a guarded definition or in one to be guarded."""
    found = find_sidecar(task)
    try:
        return undo_of(found[1]).volume if found else options.volume_name
    except ValueError:
        return options.volume_name


def _shared(path: Path) -> Problem:
    says = "The container has the journal's volume, with the sidecar's key on it."
    return error(path, "journal-shared", says, "Take it away: the volume is for the sidecar alone.")


def _host(volume: Mapping[str, Any]) -> str:
    """The directory of the machine that a volume is, empty where it is none."""
    return as_text(as_object(volume.get("host")).get("sourcePath"))


def _added(container: Mapping[str, Any]) -> list[Any]:
    parameters = as_object(container.get("linuxParameters"))
    added = as_object(parameters.get("capabilities")).get("add")
    return [added] if isinstance(added, str) else as_list(added)
