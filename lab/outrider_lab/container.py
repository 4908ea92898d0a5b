"""One container of a lab task: its folder, its file systems, its program, and its restarts."""

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from outrider_lab import spec
from outrider_lab.metadata import ContainerFacts
from outrider_lab.namespaces import MS_NODEV, MS_NOSUID, mount, unmount
from outrider_lab.rootfs import make_root
from outrider_lab.runc import Runc
from outrider_lab.settings import ECS_CAPABILITIES, ContainerSettings, Mount

IMAGE = "outrider-lab/machine-root:latest"


class Container:
    """A container from its preparation to its last restart. `pid` is 0 while its program does not run."""

    def __init__(self, settings: ContainerSettings, container_id: str, folder: Path, runc: Runc) -> None:
        self.settings = settings
        self.id = container_id
        self.pid = 0
        self.created_at_ns = 0
        self.started_at_ns = 0
        self.restart_count = 0
        self.cgroup = ""
        self.stdio: tuple[int, ...] = ()
        self.folder = folder
        self._runc = runc
        self._starting = 0
        self._volumes: list[Path] = []
        self._process: dict[str, Any] = {}

    def prepare(self, place: spec.Place, *, seccomp: dict[str, Any], mounts: tuple[Mount, ...]) -> None:
        """Lay out the root and the volumes, and write runc's configuration."""
        root = make_root(self.folder)
        place = replace(place, root=str(root), nofile=min(place.nofile, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        bound = tuple(self._realise(number, one) for number, one in enumerate((*self.settings.mounts, *mounts)))
        made = spec.build_spec(self.settings, place, seccomp=seccomp, mounts=bound)
        (self.folder / "config.json").write_text(json.dumps(made))
        self._process = made["process"]
        self.cgroup = place.cgroup

    def volume(self, target: str) -> Path:
        """Where the lab itself finds the volume that this container sees at `target`."""
        return self.folder / "volumes" / target.strip("/").replace("/", "-")

    def begin(self, stdio: tuple[int, ...]) -> None:
        """Have runc start the program; `finish` waits until it runs. The descriptors must stay open for restarts."""
        self.stdio = stdio
        self.created_at_ns = self.created_at_ns or time.time_ns()
        self._starting = self._runc.begin(self.id, self.folder, stdio=stdio, pid_file=self._pid_file)

    def finish(self) -> int:
        """The pid of the program, which runs now. Raises StartFailed."""
        self.pid = self._runc.finish(self._starting, pid_file=self._pid_file, log=self.folder / "runc.log")
        self.started_at_ns = time.time_ns()
        return self.pid

    def clear(self) -> None:
        """Kill whatever the container still holds, as the runtime of ECS does when the first program ended."""
        self.pid = 0
        self._runc.delete(self.id)

    def restart(self) -> int:
        """Start the program again on the same upper layer and volumes, as ECS does. Raises StartFailed."""
        self.restart_count += 1
        self.begin(self.stdio)
        return self.finish()

    def remove(self) -> None:
        """Take the container's file systems away, once nothing of it runs."""
        for volume in self._volumes:
            unmount(str(volume))
        unmount(str(self.folder / "root"))
        self._volumes.clear()

    def process(
        self,
        argv: tuple[str, ...],
        *,
        env: dict[str, str],
        cwd: str,
        user: tuple[int, int],
        added: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """The description of one more program for this container, with the container's environment under `env`."""
        merged = {**self.settings.env, **env}
        capabilities = [*ECS_CAPABILITIES, *self.settings.added_capabilities, *added]
        return {
            **self._process,
            "args": list(argv),
            "env": [f"{name}={value}" for name, value in merged.items()],
            "cwd": cwd,
            "user": {"uid": user[0], "gid": user[1]},
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        }

    def facts(self) -> ContainerFacts:
        """What the metadata endpoint tells of it."""
        return ContainerFacts(
            docker_id=self.id,
            name=self.settings.name,
            image=IMAGE,
            created_at_ns=self.created_at_ns,
            started_at_ns=self.started_at_ns,
            restart_count=self.restart_count,
        )

    @property
    def _pid_file(self) -> Path:
        return self.folder / "pid"

    def _realise(self, number: int, wanted: Mount) -> Mount:
        """A mount with a source: a fresh tmpfs where none was named."""
        if wanted.source:
            return wanted
        at = self.volume(wanted.target)
        at.mkdir(parents=True)
        options = f"size={wanted.size_bytes},mode={wanted.mode:o}"
        mount("tmpfs", str(at), flags=MS_NOSUID | MS_NODEV, options=options, source=f"volume-{number}")
        self._volumes.append(at)
        return replace(wanted, source=str(at))


def open_log(at: Path) -> tuple[int, int, int]:
    """Descriptors for a program that has no terminal: nothing to read, one file to write to."""
    log = os.open(at, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), log, log
