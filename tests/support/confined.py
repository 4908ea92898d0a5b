"""The host process as it is packaged: in systemd's unit, and in the container that a task definition describes.

Each way takes a command and settings, and runs it on this machine under what that way takes away from it.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from service_manager import ServiceManager, wait_until

from outrider_cdk import daemon
from outrider_cdk.limits import GIB
from outrider_cdk.unit import systemd_unit
from outrider_lab.rootfs import is_hidden, needed_folders
from outrider_lab.seccomp import convert, read_profile
from outrider_lab.settings import ContainerSettings, Mount
from outrider_lab.spec import Place, build_spec

UNIT = "outrider.service"


def hidden_folders() -> list[str]:
    """What a /tmp of one's own would hide: a checkout or an interpreter there, as nothing that is installed is."""
    return [str(place) for place in needed_folders() if is_hidden(str(place))]


class Way(Protocol):
    """A way to run the host process."""

    journal: Path

    def once(self, *words: str) -> str:
        """Run Python with these words to its end; what it printed. AssertionError where it failed."""

    def start(self, settings: Mapping[str, str]) -> None:
        """Start the process that guards."""

    def stop(self) -> None:
        """Stop it as this way stops it."""

    def log(self) -> str:
        """What it wrote on standard error."""


class InUnit:
    """Under systemd, by the unit that `outrider unit` prints; only the journal's place and the output are other."""

    def __init__(self, manager: ServiceManager, *, without: str = "") -> None:
        """`without` takes one capability more away than the unit does."""
        self.manager = manager
        self.journal = manager.state / "outrider"
        self._program = str(Path(sys.executable).with_name("outrider"))
        text = systemd_unit(cpus=2, machine_bytes=4 * GIB, program=self._program)
        less = f"[Service]\nCapabilityBoundingSet=~{without}\n\n" if without else ""
        self._text = text.replace("[Install]", f"{less}[Install]")

    def once(self, *words: str) -> str:
        self._install({}, f"Type=oneshot\nRestart=no\nExecStart=\nExecStart={sys.executable} {' '.join(words)}\n")
        done = self.manager.ctl("start", UNIT)
        assert done.returncode == 0, f"{done.stderr}{self.log()}"
        return (self.manager.folder / "out").read_text()

    def start(self, settings: Mapping[str, str]) -> None:
        done = self.try_to_start(settings)
        assert done.returncode == 0, f"{done.stderr}{self.log()}"

    def try_to_start(self, settings: Mapping[str, str], *, lines: str = "") -> subprocess.CompletedProcess[str]:
        """What systemctl says when it is up, or will not be; `lines` of the unit's [Service] are other."""
        self._install(settings, lines)
        return self.manager.ctl("start", UNIT)

    def stop(self) -> None:
        self.manager.ctl("stop", UNIT)

    def log(self) -> str:
        path = self.manager.folder / "err"
        return path.read_text() if path.exists() else ""

    def _install(self, settings: Mapping[str, str], lines: str) -> None:
        environ = {"OUTRIDER_JOURNAL_DIR": str(self.journal), "PYTHONDONTWRITEBYTECODE": "1", **settings}
        changes = "[Service]\n" + lines
        changes += "".join(f"BindReadOnlyPaths={place}\n" for place in hidden_folders())
        changes += "".join(f'Environment="{name}={value}"\n' for name, value in environ.items())
        for stream, name in (("Output", "out"), ("Error", "err")):
            (self.manager.folder / name).unlink(missing_ok=True)
            changes += f"Standard{stream}=file:{self.manager.folder / name}\n"
        self.manager.install(UNIT, self._text, changes=changes)


class InDaemonTask:
    """In a container by runc, as the ECS agent and Docker would make it of task-defs/ec2-daemon.json.

    The capabilities, Docker's seccomp profile for them, a read-only root, the journal's volume, no new privileges, and
    the machine's PID and network namespaces. Its cgroup namespace is its own, as Docker has it on cgroup v2.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"outrider-test-{os.getpid()}"
        self.journal = folder / "journal"
        self.journal.mkdir()
        (self._container,) = daemon.task_definition()["containerDefinitions"]
        self._process: subprocess.Popen[bytes] | None = None

    def once(self, *words: str) -> str:
        self._prepare(words, {})
        done = subprocess.run(self._command(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, settings: Mapping[str, str]) -> None:
        self._prepare(("-m", "outrider_sidecar"), settings)
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._runc("kill", self._name, "TERM")
            try:
                self._process.wait(self._container["stopTimeout"])
            except subprocess.TimeoutExpired:
                self._runc("kill", self._name, "KILL")
                self._process.wait(10)
        self._runc("delete", "--force", self._name)

    def log(self) -> str:
        path = self._folder / "log"
        return path.read_text() if path.exists() else ""

    def health(self) -> subprocess.CompletedProcess[str]:
        """The task definition's health check, run in the container as ECS runs it."""
        command = [sys.executable, "-m", "outrider_cli.main", *self._container["healthCheck"]["command"][2:]]
        return self._runc("exec", self._name, *command)

    def _command(self) -> list[str]:
        # The root is this machine's, bound in a mount namespace that goes with runc.
        begin = 'mount --bind / "$1/rootfs" && shift && exec "$@"'
        unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", begin, "sh", str(self._folder)]
        return [*unshare, "runc", "--root", str(self._folder / "runc"), "run", "-b", str(self._folder), self._name]

    def _runc(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["runc", "--root", str(self._folder / "runc"), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    def _prepare(self, words: tuple[str, ...], settings: Mapping[str, str]) -> None:
        (self._folder / "rootfs").mkdir(exist_ok=True)
        told = {entry["name"]: entry["value"] for entry in self._container["environment"]}
        (self._folder / "config.json").write_text(json.dumps(self._spec(words, {**told, **settings})))

    def _spec(self, words: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, Any]:
        task = daemon.task_definition()
        (volume,) = self._container["mountPoints"]
        names = self._container["linuxParameters"]["capabilities"]["add"]
        capabilities = tuple(f"CAP_{name}" for name in names)
        settings = ContainerSettings(
            name=self._container["name"],
            command=(sys.executable, *words),
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **environ},
            read_only_root=self._container["readonlyRootFilesystem"],
            memory_bytes=self._container["memory"] << 20,
        )
        mounts = (
            Mount(target=volume["containerPath"], source=str(self.journal)),
            *(Mount(target=place, source=place, read_only=True) for place in hidden_folders()),
        )
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        place = Place(
            root=str(self._folder / "rootfs"),
            cgroup=f"/{self._name}",
            hostname="",
            network_namespace="",
            nofile=min(self._container["ulimits"][0]["hardLimit"], hard),
        )
        spec = build_spec(settings, place, seccomp=convert(read_profile(), capabilities=capabilities), mounts=mounts)
        spec["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), capabilities)
        spec["process"]["noNewPrivileges"] = "no-new-privileges" in self._container["dockerSecurityOptions"]
        shared = {"pid"} if task["pidMode"] == "host" else set()
        shared |= {"network", "uts"} if task["networkMode"] == "host" else set()
        spec["linux"]["namespaces"] = [
            {"type": kind} for kind in ("mount", "ipc", "uts", "cgroup", "network", "pid") if kind not in shared
        ]
        del spec["hostname"]
        return spec


@contextmanager
def in_daemon_task() -> Iterator[InDaemonTask]:
    """Not below /tmp, where the read-only container has a tmpfs of its own."""
    folder = Path(tempfile.mkdtemp(prefix="outrider-test-", dir="/var/lib"))
    way = InDaemonTask(folder)
    try:
        yield way
    finally:
        way.stop()
        shutil.rmtree(folder, ignore_errors=True)


def wait_ready(way: Way, *, timeout_s: float = 60.0) -> dict[str, Any]:
    """What the process says of itself once it sees."""
    path = way.journal / "ready"
    try:
        wait_until(path.exists, timeout_s=timeout_s, what="the host process's first word")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{way.log()[-4000:]}") from None
    return dict(json.loads(path.read_text()))


def confinement_of(pid: int) -> dict[str, int]:
    """What the kernel says of a process's confinement: NoNewPrivs, Seccomp, CapBnd and CapEff of proc_pid_status(5)."""
    fields = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    numbers = {name: int(fields[name], 16) for name in ("CapBnd", "CapEff")}
    return numbers | {name: int(fields[name]) for name in ("NoNewPrivs", "Seccomp")}
