"""A task of our images: a podman pod with one PID and one network namespace, a collector outside it, an attacker too.

The pod's only link leads to a network namespace of the lab's own, which has no other: collector and attacker are there.
"""

import http.client
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from outrider_lab.blueprint import PAUSE_COMMAND, collector_url
from outrider_lab.collected import FindingsQuery, connect, wait_for_findings
from outrider_lab.images import victim
from outrider_lab.images.base import NAME as BASE
from outrider_lab.images.podman import Podman
from outrider_lab.namespaces import CLONE_NEWNET, entered, unshare
from outrider_lab.network import COLLECTOR_ADDRESS, COLLECTOR_PORT, TASK_ADDRESS, connect_task
from outrider_wire.findings import Finding

TOKEN: Final = "lab-bootstrap-token"
APP_PORT: Final = 8080
READY_S: Final = 20.0
LIMIT_MIB: Final = 128
POLL_S: Final = 0.02


class Pod:
    """`sidecar` is the image beside the victim. Entering it starts all and waits for ready.

    Without `start_sidecar` that one is for later. `journal` is the host's folder of the journal; `stop_timeout_s` what
    the sidecar is told of its stopTimeout.
    """

    def __init__(
        self,
        podman: Podman,
        sidecar: str,
        *,
        stays: bool = False,
        stop_timeout_s: float = 30.0,
        environment: Mapping[str, str] | None = None,
        start_sidecar: bool = True,
    ) -> None:
        self._podman, self._image, self._stays = podman, sidecar, stays
        self._is_guarded = start_sidecar
        self.name = f"task-{len(os.listdir(podman.folder))}-{time.monotonic_ns() % 10**9}"
        self.folder = podman.folder / self.name
        self.journal = self.folder / "journal"
        self._environment = {
            "OUTRIDER_COLLECTOR_URL": collector_url(),
            "OUTRIDER_TOKEN": TOKEN,
            "OUTRIDER_HEARTBEAT_S": "1",
            "OUTRIDER_STOP_TIMEOUT_S": f"{stop_timeout_s:g}",
            **(environment or {}),
        }
        self.collector: subprocess.Popen[bytes] | None = None
        self._network_fd = -1

    @property
    def network(self) -> str:
        """The lab's network namespace, as a path."""
        return f"/proc/{os.getpid()}/fd/{self._network_fd}"

    @property
    def app(self) -> str:
        """The guarded container's name."""
        return f"{self.name}-app"

    @property
    def sidecar(self) -> str:
        """The sidecar container's name."""
        return f"{self.name}-outrider"

    def __enter__(self) -> Self:
        try:
            self.journal.mkdir(parents=True, mode=0o700)
            self._make_pod()
            self._start_collector()
            self.start_app()
            if self._is_guarded:
                self.start_sidecar()
            self.wait(lambda: self._is_ready() and self._answers(TASK_ADDRESS, APP_PORT))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is left but the image."""
        self._podman.try_to("pod", "rm", "--force", "--time", "0", self.name)
        if self.collector is not None:
            self.collector.kill()
            self.collector.wait()
        if self._network_fd >= 0:
            os.close(self._network_fd)
            self._network_fd = -1

    def _start_collector(self) -> None:
        environment = {
            **os.environ,
            "OUTRIDER_COLLECTOR_LISTEN": f"{COLLECTOR_ADDRESS}:{COLLECTOR_PORT}",
            "OUTRIDER_COLLECTOR_TOKEN": TOKEN,
            "OUTRIDER_COLLECTOR_DATA": str(self.folder / "collector"),
        }
        with entered(self.network, CLONE_NEWNET), (self.folder / "collector.log").open("wb") as log:
            self.collector = subprocess.Popen(
                [sys.executable, "-m", "outrider_collector"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.wait(lambda: self._answers(COLLECTOR_ADDRESS, COLLECTOR_PORT))

    def _make_pod(self) -> None:
        self._podman.run(
            *("pod", "create", "--name", self.name, "--share", "pid,net,ipc,uts", "--network", "none"),
            *("--cgroup-parent", self._podman.cgroup),
            *("--infra-image", BASE, "--infra-command", PAUSE_COMMAND[-1].rpartition("exec ")[2]),
        )
        self._podman.run("pod", "start", self.name)
        infra = self._podman.run("pod", "inspect", "--format", "{{.InfraContainerID}}", self.name)
        pid = self._podman.run("inspect", "--format", "{{.State.Pid}}", infra)
        with entered("/proc/self/ns/net", CLONE_NEWNET):
            unshare(CLONE_NEWNET)
            self._network_fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            connect_task(Path(f"/proc/{pid}/ns/net"))

    def start_app(self) -> None:
        """Start the guarded program, with ECS's default capabilities."""
        text = Path(victim.__file__).read_text()
        arguments = ("stays",) if self._stays else ()
        self._podman.run(
            *("run", "--detach", "--pod", self.name, "--name", self.app, BASE),
            *("python3", "-c", text, *arguments),
        )

    def start_sidecar(self) -> None:
        """Start the sidecar as a task definition has it: read-only root, one capability more, memory limited."""
        self._podman.run(
            *("run", "--detach", "--pod", self.name, "--name", self.sidecar, "--read-only", "--read-only-tmpfs=false"),
            *("--no-healthcheck", "--memory", f"{LIMIT_MIB}m", "--memory-swap", f"{LIMIT_MIB}m"),
            *("--cap-add", "SYS_PTRACE"),
            *(word for pair in self._environment.items() for word in ("--env", "=".join(pair))),
            *("--volume", f"{self.journal}:/outrider", self._image),
        )

    def wait(self, holds: Callable[[], bool], *, timeout_s: float = READY_S) -> None:
        """Raises TimeoutError, with what the containers said."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the task did not come up: {self.logs(self.sidecar)} {self.logs(self.app)}")
            time.sleep(POLL_S)

    def logs(self, container: str) -> str:
        """What a container printed."""
        done = self._podman.try_to("logs", container)
        return done.stdout + done.stderr

    def _is_ready(self) -> bool:
        return (self.journal / "ready").exists() or not self._is_guarded

    def _answers(self, address: str, port: int) -> bool:
        try:
            connect(self.network, (address, port), timeout_s=1.0).close()
        except OSError:
            return False
        return True

    def order(self, command: str) -> None:
        """Have the guarded program run a command with /bin/sh, as an intruder would: over the network."""
        connection = http.client.HTTPConnection(TASK_ADDRESS, APP_PORT)
        connection.sock = connect(self.network, (TASK_ADDRESS, APP_PORT), timeout_s=5.0)
        connection.request("POST", "/", body=command.encode())
        assert connection.getresponse().status == 202
        connection.close()

    def findings(self, holds: Callable[[list[Finding]], bool], *, timeout_s: float = 10.0) -> list[Finding]:
        """What the collector has once this holds, or when the time is up."""
        query = FindingsQuery(network_namespace=self.network, token=TOKEN)
        return wait_for_findings(query, holds, timeout_s=timeout_s)

    def pid(self, container: str) -> int:
        """A running container's first process, on this machine; 0 when it has none."""
        return int(self._podman.run("inspect", "--format", "{{.State.Pid}}", container))

    def signal(self, container: str, name: str = "TERM") -> None:
        """Send a container's first process a signal."""
        self._podman.run("kill", "--signal", name, container)


def seconds_until_end(pid: int, *, timeout_s: float) -> float | None:
    """How long a process went on; None where it outlived the time."""
    began_s = time.monotonic()
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return 0.0
    try:
        ended, _, _ = select.select([watched], [], [], timeout_s)
    finally:
        os.close(watched)
    return time.monotonic() - began_s if ended else None
