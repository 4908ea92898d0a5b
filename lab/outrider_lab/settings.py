"""What a lab task is made of: frozen records, sent as JSON from the program that asks to the supervisor that builds."""

import sys

from msgspec import Struct

ECS_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_MKNOD",
    "CAP_AUDIT_WRITE",
    "CAP_SETFCAP",
)
"""What ECS gives every container; on Fargate only SYS_PTRACE may be added."""

JOURNAL_DIR = "/outrider"
"""Where the sidecar, and it alone, sees its journal volume."""

RESIDENT_DIR = "/lab"
"""Where the guarded container sees the fifos through which `Task.run` talks to its entry point."""

MAIN = "app"
SIDECAR = "outrider"
PAUSE = "pause"


class Mount(Struct, frozen=True):
    """A folder of this machine, or (empty `source`) a fresh tmpfs of `size_bytes`, seen at `target` in a container."""

    target: str
    source: str = ""
    read_only: bool = False
    size_bytes: int = 64 << 20
    mode: int = 0o755


class ContainerSettings(Struct, frozen=True):
    """A container of the task. An empty `command` means the resident shell that `Task.run` speaks to."""

    name: str
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    mounts: tuple[Mount, ...] = ()
    cwd: str = "/"
    added_capabilities: tuple[str, ...] = ()
    read_only_root: bool = False
    memory_bytes: int = 0


def default_sidecar() -> ContainerSettings:
    """The sidecar as its image starts it: read-only root, SYS_PTRACE and nothing else added."""
    return ContainerSettings(
        name=SIDECAR,
        command=(sys.executable, "-m", "outrider_sidecar"),
        added_capabilities=("CAP_SYS_PTRACE",),
        read_only_root=True,
    )


class TaskSettings(Struct, frozen=True):
    """A whole task. Times in seconds.

    `sidecar` None makes an unguarded task, `collector_command` empty one without a collector. The sidecar is
    started again `restart_delay_s` after it ended, while the main container lives. `ready_timeout_s` is how long
    the main container waits for the sidecar's ready file (0: not at all); `late_sidecar` starts the sidecar last.
    `shared_pids` False gives each container a PID namespace of its own, as without `pidMode: task`. `as_defined` adds
    nothing to the sidecar's settings: neither environment nor journal.
    """

    main: ContainerSettings = ContainerSettings(name=MAIN)
    others: tuple[ContainerSettings, ...] = ()
    sidecar: ContainerSettings | None = None
    collector_command: tuple[str, ...] = ()
    collector_env: dict[str, str] = {}
    token: str = ""
    restart_sidecar: bool = True
    restart_delay_s: float = 0.2
    ready_timeout_s: float = 5.0
    late_sidecar: bool = False
    stop_timeout_s: float = 10.0
    heartbeat_s: float = 1.0
    journal_size_bytes: int = 64 << 20
    shared_pids: bool = True
    as_defined: bool = False


def guarded_task(
    main: ContainerSettings | None = None,
    *,
    others: tuple[ContainerSettings, ...] = (),
    token: str = "lab-bootstrap-token",
) -> TaskSettings:
    """The usual task: the real sidecar beside `main`, and a real collector beside the task."""
    return TaskSettings(
        main=main or ContainerSettings(name=MAIN),
        others=others,
        sidecar=default_sidecar(),
        collector_command=(sys.executable, "-m", "outrider_collector"),
        token=token,
    )
