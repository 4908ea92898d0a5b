"""What the containers of a task are told and given, worked out of its settings: environment, mounts, commands."""

import uuid
from pathlib import Path
from random import Random
from typing import Final

from msgspec.structs import replace

from outrider_lab.network import (
    COLLECTOR_ADDRESS,
    COLLECTOR_PORT,
    METADATA_URL,
    NAME_SERVER,
    TASK_ADDRESS,
)
from outrider_lab.settings import (
    JOURNAL_DIR,
    MAIN,
    PAUSE,
    RESIDENT_DIR,
    ContainerSettings,
    Mount,
    TaskSettings,
)
from outrider_lab.spec import PATH

READY_FILE: Final = "ready"
"""The sidecar writes this file into its journal folder when all its sensors are up."""

RESIDENT_SHELL: Final = ("/bin/sh",)
PAUSE_COMMAND: Final = ("/bin/sh", "-c", "trap '' CHLD; exec sleep infinity")
"""First process of the task's PID namespace. An ignored SIGCHLD outlives exec, and makes the kernel reap orphans."""


def new_task_id(random: Random) -> str:
    """32 hexadecimal digits, as ECS names tasks."""
    return uuid.UUID(int=random.getrandbits(128), version=4).hex


def new_container_id(task_id: str, random: Random) -> str:
    """The task's id, a dash and digits, as Fargate names containers."""
    return f"{task_id}-{random.randrange(10**9, 4 * 10**9)}"


def collector_url() -> str:
    """Where the sidecar finds the collector."""
    return f"http://{COLLECTOR_ADDRESS}:{COLLECTOR_PORT}"


def pause_container() -> ContainerSettings:
    """The container that holds the task's PID namespace."""
    return ContainerSettings(name=PAUSE, command=PAUSE_COMMAND, read_only_root=True)


def complete(
    container: ContainerSettings,
    container_id: str,
    *,
    address: str = TASK_ADDRESS,
    launch: str = "FARGATE",
    metadata: str = METADATA_URL,
) -> ContainerSettings:
    """A container's settings with what ECS adds to each: its environment, and a command where none was named."""
    env = {
        "PATH": PATH,
        "HOSTNAME": hostname(address),
        "AWS_EXECUTION_ENV": f"AWS_ECS_{launch}",
        "ECS_CONTAINER_METADATA_URI_V4": f"{metadata}/v4/{container_id}",
        **container.env,
    }
    if container.command:
        return replace(container, env=env)
    resident = Mount(target=RESIDENT_DIR, mode=0o700)
    return replace(container, env=env, command=RESIDENT_SHELL, mounts=(*container.mounts, resident))


def complete_sidecar(sidecar: ContainerSettings, task: TaskSettings) -> ContainerSettings:
    """The sidecar's settings with its own environment and its journal volume; what the user set wins."""
    if task.as_defined:
        return sidecar
    env = {
        "OUTRIDER_COLLECTOR_URL": collector_url() if task.collector_command else "",
        "OUTRIDER_TOKEN": task.token,
        "OUTRIDER_JOURNAL_DIR": JOURNAL_DIR,
        "OUTRIDER_HEARTBEAT_S": f"{task.heartbeat_s:g}",
        "OUTRIDER_STOP_TIMEOUT_S": f"{task.stop_timeout_s:g}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    journal = Mount(target=JOURNAL_DIR, mode=0o700, size_bytes=task.journal_size_bytes)
    kept = {name: value for name, value in env.items() if value}
    return replace(sidecar, env={**kept, **sidecar.env}, mounts=(journal, *sidecar.mounts))


def collector_environment(task: TaskSettings) -> dict[str, str]:
    """What the collector is told, but for the folder of its data."""
    return {
        "OUTRIDER_COLLECTOR_LISTEN": f"{COLLECTOR_ADDRESS}:{COLLECTOR_PORT}",
        "OUTRIDER_COLLECTOR_TOKEN": task.token,
        **task.collector_env,
    }


def hostname(address: str) -> str:
    """As ECS names a task's host, by its address."""
    return f"ip-{address.replace('.', '-')}.lab.internal"


def write_etc(folder: Path, address: str, *, name_server: str = NAME_SERVER) -> tuple[Mount, ...]:
    """The three files ECS puts into every container, and the mounts that put them there."""
    folder.mkdir(parents=True)
    contents = {
        "resolv.conf": f"nameserver {name_server}\noptions timeout:2 attempts:1\n",
        "hosts": f"127.0.0.1 localhost\n::1 localhost\n{address} {hostname(address)}\n",
        "hostname": hostname(address) + "\n",
    }
    for name, text in contents.items():
        (folder / name).write_text(text)
    return tuple(Mount(target=f"/etc/{name}", source=str(folder / name)) for name in contents)


def check_names(task: TaskSettings) -> None:
    """Raises ValueError where two containers have one name, or the main one another than it must."""
    names = [task.main.name, PAUSE, *(other.name for other in task.others)]
    if task.sidecar:
        names.append(task.sidecar.name)
    if len(set(names)) != len(names):
        raise ValueError(f"two containers have one name: {', '.join(names)}")
    if task.main.name != MAIN:
        raise ValueError(f"the main container's name is {MAIN}")
