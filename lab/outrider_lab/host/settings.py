"""What a lab's container instance is made of: frozen records, sent as JSON like those of a task."""

import sys
from typing import Literal

from msgspec import Struct

from outrider_lab.metadata import FAMILY, REVISION
from outrider_lab.settings import MAIN, ContainerSettings

Network = Literal["awsvpc", "bridge", "host"]
"""`awsvpc`: a namespace for each task; `bridge`: one for each container; `host`: the machine's own."""


class HostTaskSettings(Struct, frozen=True):
    """A task of a container instance. Its containers share no PID namespace, as ECS has it by default.

    `cgroup` is the form of the cgroup paths: `/ecs/<task>/<container>`, or `/docker/<container>` as on instances
    whose agent makes no cgroups for tasks. An unlisted task is plain Docker: the agent knows nothing of it.
    """

    main: ContainerSettings = ContainerSettings(name=MAIN)
    others: tuple[ContainerSettings, ...] = ()
    network: Network = "awsvpc"
    family: str = FAMILY
    revision: str = REVISION
    cgroup: Literal["ecs", "docker"] = "ecs"
    listed: bool = True


class HostSettings(Struct, frozen=True):
    """A whole container instance. Times in seconds.

    `command` empty makes it unguarded, `collector_command` empty one without a collector. Outrider is started again
    `restart_delay_s` after it ended. `ready_timeout_s` is how long the first task waits until it says that it sees
    (0: not at all); `late` starts it by `HostLab.control` alone.
    """

    tasks: tuple[HostTaskSettings, ...] = (HostTaskSettings(),)
    command: tuple[str, ...] = (sys.executable, "-m", "outrider_sidecar")
    env: dict[str, str] = {}
    late: bool = False
    collector_command: tuple[str, ...] = (sys.executable, "-m", "outrider_collector")
    collector_env: dict[str, str] = {}
    token: str = "lab-bootstrap-token"
    restart: bool = True
    restart_delay_s: float = 0.2
    ready_timeout_s: float = 10.0
    stop_timeout_s: float = 10.0
    heartbeat_s: float = 1.0
    journal_size_bytes: int = 64 << 20
