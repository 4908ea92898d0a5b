"""Containers as a runtime makes them (a cgroup, a mount namespace, a root of their own), and a lookout over them."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
from msgspec.msgpack import decode

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux import prctl
from outrider_sidecar.linux.libc import check, function
from outrider_sidecar.sensors.attach import make_event_pipe
from outrider_sidecar.sensors.host import LookoutOptions, probe_connector, run_lookout
from outrider_wire.events import Event, ProcessExecuted

DEADLINE_S = 30.0
OURS = f"outrider-test-{os.getpid()}"
CGROUP = Path("/sys/fs/cgroup/pids" if Path("/sys/fs/cgroup/pids").is_dir() else "/sys/fs/cgroup")
NEW_MOUNTS = 0x00020000
PRIVATE, RECURSIVE, DETACH = 1 << 18, 1 << 14, 2

_unshare = function("unshare", ctypes.c_int)
_mount = function("mount", *[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p)
_pivot_root = function("pivot_root", ctypes.c_char_p, ctypes.c_char_p)
_umount = function("umount2", ctypes.c_char_p, ctypes.c_int)


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    check(_mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()), f"mount {target}")


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.005)


class Container:
    """A place that looks like an ECS task's container; `spawn` starts programs in it, from outside."""

    def __init__(self, top: Path, number: int, scratch: Path, *, in_cgroup: bool = True) -> None:
        self.id = f"{os.getpid():032x}-{number}"
        self.cgroup = top / "ecs" / f"{os.getpid():032x}" / self.id if in_cgroup else None
        if self.cgroup:
            self.cgroup.mkdir(parents=True)
        self.pids: list[int] = []
        self.scratch = scratch / str(number)
        self.scratch.mkdir()
        self._keeper_in, keeper_out = os.pipe()
        ready_in, ready_out = os.pipe()
        self.keeper = os.fork()
        if not self.keeper:
            self._keep(keeper_out, ready_out)
        os.close(keeper_out)
        os.close(ready_out)
        assert os.read(ready_in, 1) == b"r", "the container's root could not be made"
        os.close(ready_in)
        self.mnt_ns = os.stat(f"/proc/{self.keeper}/ns/mnt").st_ino

    def _keep(self, open_end: int, ready: int) -> None:
        """Hold the mount namespace from outside of the container's cgroup, as a runtime's bind mount would."""
        try:
            prctl.set_parent_death_signal(signal.SIGKILL)
            check(_unshare(NEW_MOUNTS), "unshare")
            mount("none", "/", "none", PRIVATE | RECURSIVE)
            base = str(self.scratch)
            mount("scratch", base, "tmpfs")
            for name in ("upper", "work", "root"):
                Path(base, name).mkdir()
            mount("overlay", f"{base}/root", "overlay", 0, f"lowerdir=/,upperdir={base}/upper,workdir={base}/work")
            mount("proc", f"{base}/root/proc", "proc")
            mount("/dev", f"{base}/root/dev", "none", 0x1000 | RECURSIVE)
            os.chdir(f"{base}/root")
            check(_pivot_root(b".", b"."), "pivot_root")
            check(_umount(b".", DETACH), "umount")
            os.write(ready, b"r")
            signal.pause()
        finally:
            os._exit(1)

    def spawn(self, *command: str, stdin: int = -1, stdout: int = -1, env: dict[str, str] | None = None) -> int:
        """Start a program; it enters the container by itself, as runc's init does, and execs there."""
        namespace = os.open(f"/proc/{self.keeper}/ns/mnt", os.O_RDONLY)
        pid = os.fork()
        if not pid:
            try:
                prctl.set_parent_death_signal(signal.SIGKILL)
                if self.cgroup:
                    (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))
                check(function("setns", ctypes.c_int, ctypes.c_int)(namespace, NEW_MOUNTS), "setns")
                for fd, number in ((stdin, 0), (stdout, 1)):
                    if fd >= 0:
                        os.dup2(fd, number)
                os.execvpe(command[0], list(command), env if env is not None else dict(os.environ))
            finally:
                os._exit(127)
        os.close(namespace)
        self.pids.append(pid)
        return pid

    def run(self, *command: str, **options: object) -> int:
        """Run a program to its end; its exit code."""
        pid = self.spawn(*command, **options)  # type: ignore[arg-type]
        return self.wait(pid)

    def wait(self, pid: int) -> int:
        self.pids.remove(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def remove(self) -> None:
        if self.cgroup:
            for line in (self.cgroup / "cgroup.procs").read_text().split():
                os.kill(int(line), signal.SIGKILL)
        for pid in (*self.pids, self.keeper):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.waitpid(pid, 0)
        os.close(self._keeper_in)


class Looking:
    """A lookout process; `events` grows while it runs."""

    def __init__(self, options: LookoutOptions, *, heartbeat: Heartbeat | None = None, generation: int = 1) -> None:
        self.heartbeat = heartbeat or Heartbeat()
        self.events: list[Event] = []
        read_fd, write_fd = make_event_pipe()
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                prctl.set_parent_death_signal(signal.SIGTERM)
                os.close(read_fd)
                code = run_lookout(options, write_fd, self.heartbeat, generation=generation)
            finally:
                os._exit(code)
        os.close(write_fd)
        self.lookout_pid = self.pid
        self._thread = threading.Thread(target=self._collect, args=(read_fd,), daemon=True)
        self._thread.start()
        wait_until(lambda: self.heartbeat[Slot.TRACER_READY] == generation, "the lookout")

    def of(self, kind, mnt_ns: int = 0):
        return [e for e in self.events if isinstance(e, kind) and mnt_ns in (0, getattr(e, "mnt_ns", 0))]

    def executed(self, name: str, mnt_ns: int = 0) -> list[ProcessExecuted]:
        """Execs of a program by the last part of its path."""
        return [event for event in self.of(ProcessExecuted, mnt_ns) if event.exe.path.rpartition("/")[2] == name]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Stop the lookout; its wait status. All events are there afterwards."""
        os.kill(self.pid, number)
        status = os.waitpid(self.pid, 0)[1]
        self.pid = 0
        self._thread.join(DEADLINE_S)
        return status

    def _collect(self, fd: int) -> None:
        stream = msgpack.Unpacker(max_buffer_size=0)
        while data := os.read(fd, 1 << 20):
            stream.feed(data)
            self.events.extend(decode(record, type=Event) for record in stream)
        os.close(fd)


@pytest.fixture(scope="session")
def connector() -> None:
    can = probe_connector()
    if not can.available:
        pytest.skip(can.reason)


@pytest.fixture
def top() -> Iterator[Path]:
    """A cgroup that belongs to this test run."""
    folder = CGROUP / OURS
    folder.mkdir(exist_ok=True)
    yield folder
    for path, _, _ in os.walk(folder, topdown=False):
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                Path(path).rmdir()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{path} is still in use"
                time.sleep(0.01)


@pytest.fixture
def make_container(top: Path, tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Make a container."""
    made: list[Container] = []

    def make(**options: bool) -> Container:
        made.append(Container(top, len(made) + 1, tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.remove()


@pytest.fixture
def container(make_container: Callable[..., Container]) -> Container:
    return make_container()


def ours(cgroup: str) -> str:
    """The container's id in a cgroup path, if it is one of this test run's."""
    mark = f"/{OURS}/ecs/"
    return cgroup.partition(mark)[2].splitlines()[0].rpartition("/")[2] if mark in cgroup else ""


@pytest.fixture
def look(connector: None) -> Iterator[Callable[..., Looking]]:
    """Start a lookout over the containers of this test run."""
    started: list[Looking] = []

    def start(heartbeat: Heartbeat | None = None, generation: int = 1, **options: object) -> Looking:
        chosen = LookoutOptions(**{"container_of": ours, **options})  # type: ignore[arg-type]
        started.append(Looking(chosen, heartbeat=heartbeat, generation=generation))
        return started[-1]

    yield start
    for each in started:
        if each.pid:
            each.end(signal.SIGKILL)
