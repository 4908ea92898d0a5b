"""From an ECS task definition to a lab task: what the definition says is what runs, and nothing is added to it.

The definition is what DescribeTaskDefinition returns. It says what each container is given (environment, secrets,
capabilities, volumes, a read-only root, memory) and whether they share a PID namespace. What an image says (command,
environment, user) comes from the Dockerfile's target; the files of every container are this machine's.

A field that the lab can neither play nor leave out without changing what is tested raises ValueError.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from outrider_lab.settings import MAIN, SIDECAR, ContainerSettings, Mount, TaskSettings
from outrider_lab.spec import PATH

Json = Mapping[str, Any]
"""Any: what AWS returned."""

PLAYED: Final = frozenset((
    "name", "image", "command", "entryPoint", "environment", "secrets", "linuxParameters", "mountPoints",
    "readonlyRootFilesystem", "memory", "user", "workingDirectory", "restartPolicy", "stopTimeout", "dependsOn",
))  # fmt: skip
LEFT_OUT: Final = frozenset((
    "cpu", "memoryReservation", "essential", "portMappings", "logConfiguration", "healthCheck", "dockerLabels",
    "volumesFrom", "systemControls", "ulimits", "startTimeout", "hostname",
))  # fmt: skip
"""Fields that are somebody else's to play (the scheduler, the log driver), or are empty here."""

ENVIRONMENT_OF_IMAGES: Final = "/opt/outrider"
"""Where the images have Python and our programs; on this machine that is `sys.prefix`."""


class Image(Struct, frozen=True):
    """What an image says of how it is run. An empty command means the resident shell that `Task.run` speaks to."""

    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    user: str = ""


def read_target(dockerfile: Path, target: str) -> Image:
    """What a target of a Dockerfile says; its programs are found where this machine has them."""
    lines = dockerfile.read_text().replace("\\\n", " ").splitlines()
    begin = next(i for i, line in enumerate(lines) if re.fullmatch(rf"FROM \S+ AS {target}", line))
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    user = ""
    for line in lines[begin + 1 :]:
        word, _, rest = line.partition(" ")
        match word:
            case "FROM":
                break
            case "CMD":
                command = tuple(json.loads(rest))
            case "USER":
                user = rest.strip()
            case "ENV":
                env |= dict(pair.partition("=")[::2] for pair in rest.split())
    here = {name: value.replace(ENVIRONMENT_OF_IMAGES, sys.prefix) for name, value in env.items()}
    here.pop("SSL_CERT_FILE", None)  # a file of the image
    return Image(command, here, user)


def lab_task(
    definition: Json,
    *,
    images: Mapping[str, Image],
    read_secret: Callable[[str], str],
    shared: Path,
    read_token: str,
    collector_command: tuple[str, ...] = (),
    collector_env: Mapping[str, str] | None = None,
) -> TaskSettings:
    """A lab task of a task definition: its containers named `app` and `outrider`, and others beside them.

    `read_secret` gives the value of what `valueFrom` names; `shared` is a folder for volumes that several containers
    mount; `read_token` is what the lab asks the collector for findings with. Raises ValueError, KeyError.
    """
    containers = definition["containerDefinitions"]
    mounted = [mount["sourceVolume"] for each in containers for mount in each.get("mountPoints", [])]
    volumes = {volume["name"]: _source(volume, shared, mounted) for volume in definition.get("volumes", [])}
    made = {each["name"]: _container(each, images[each["image"]], volumes, read_secret) for each in containers}
    guard = next(each for each in containers if each["name"] == SIDECAR)
    waits = any(SIDECAR in str(each.get("dependsOn", "")) for each in containers)
    return TaskSettings(
        main=made[MAIN],
        others=tuple(each for name, each in made.items() if name not in (MAIN, SIDECAR)),
        sidecar=made[SIDECAR],
        collector_command=collector_command,
        collector_env=dict(collector_env or {}),
        token=read_token,
        restart_sidecar=bool(guard.get("restartPolicy", {}).get("enabled")),
        ready_timeout_s=5.0 if waits else 0.0,
        stop_timeout_s=float(guard.get("stopTimeout", 30)),
        shared_pids=definition.get("pidMode") == "task",
        as_defined=True,
    )


def environment_of(container: Json, read_secret: Callable[[str], str]) -> dict[str, str]:
    """A container's variables, those whose values are secrets among them."""
    plain = {entry["name"]: entry["value"] for entry in container.get("environment", [])}
    return plain | {entry["name"]: read_secret(entry["valueFrom"]) for entry in container.get("secrets", [])}


def _container(
    container: Json, image: Image, volumes: Mapping[str, str], read_secret: Callable[[str], str]
) -> ContainerSettings:
    name = container["name"]
    if unknown := {key for key, value in container.items() if value} - PLAYED - LEFT_OUT:
        raise ValueError(f"{name}: the lab cannot play {', '.join(sorted(unknown))}")
    user = container.get("user", image.user)
    if user not in ("", "0", "root", "0:0"):
        raise ValueError(f"{name}: the lab runs containers as root, not as {user}")
    asked = container.get("linuxParameters", {}).get("capabilities", {})
    if asked.get("drop"):
        raise ValueError(f"{name}: the lab drops no capabilities")
    words = (*container.get("entryPoint", ()), *container.get("command", ())) or image.command
    return ContainerSettings(
        name=name,
        command=words,
        env={"PATH": PATH} | image.env | environment_of(container, read_secret),
        mounts=tuple(_mount(mount, volumes) for mount in container.get("mountPoints", [])),
        cwd=container.get("workingDirectory", "/"),
        added_capabilities=tuple(f"CAP_{each}" for each in asked.get("add", [])),
        read_only_root=bool(container.get("readonlyRootFilesystem")),
        memory_bytes=int(container.get("memory", 0)) << 20,
    )


def _mount(mount: Json, volumes: Mapping[str, str]) -> Mount:
    source = volumes[mount["sourceVolume"]]
    return Mount(target=mount["containerPath"], source=source, read_only=bool(mount.get("readOnly")), mode=0o700)


def _source(volume: Json, shared: Path, mounted: list[str]) -> str:
    """A folder for a volume that several containers mount; empty, for a fresh file system, where one does."""
    if set(volume) - {"name", "host"} or volume.get("host"):
        raise ValueError(f"the lab cannot play the volume {volume['name']}")
    if mounted.count(volume["name"]) < 2:
        return ""
    folder = shared / volume["name"]
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)
