"""Real containers in small, a lookout over them, and a watch over their files."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
from msgspec.msgpack import decode
from overlays import Overlay, Watch, make_image, watching

from outrider_lab.enclosure import Enclosure, own_cgroup
from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux import prctl
from outrider_sidecar.sensors.attach import make_event_pipe
from outrider_sidecar.sensors.host import LookoutOptions, probe_connector, run_lookout
from outrider_wire.events import Event, FilesWatched, ProcessExecuted

DEADLINE_S = 30.0
QUIETLY = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
OURS = f"outrider-test-{os.getpid()}"


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.005)


def is_running(pid: int, name: str) -> bool:
    """Whether a process has started a program and waits in it. Its exec is over then, and the kernel has told of it:
    /proc shows the new program a moment before that."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return os.readlink(f"/proc/{pid}/exe").endswith(f"/{name}") and state == "S"


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
            except BaseException:  # noqa: BLE001  # a process of its own: nobody above could say what happened
                traceback.print_exc()
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

    def wait_for_marks(self, mnt_ns: int) -> None:
        """Wait until a container's files are watched: who opens a file there is known from then on."""

        def is_watched() -> bool:
            # what the watch has to say is told with the next thing that happens
            os.waitpid(os.posix_spawn("/usr/bin/id", ["id", "-u"], {}, file_actions=QUIETLY), 0)
            return bool(self.of(FilesWatched, mnt_ns))

        wait_until(is_watched, "the marks")

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
    with own_cgroup(OURS) as folder:
        yield folder


@pytest.fixture
def make_container(top: Path, tmp_path: Path) -> Iterator[Callable[..., Enclosure]]:
    """Make a container."""
    made: list[Enclosure] = []

    def make(*, in_cgroup: bool = True) -> Enclosure:
        number = len(made) + 1
        (tmp_path / str(number)).mkdir()
        made.append(Enclosure(top if in_cgroup else None, number, tmp_path / str(number)))
        return made[-1]

    yield make
    for each in made:
        each.remove()


@pytest.fixture
def container(make_container: Callable[..., Enclosure]) -> Enclosure:
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


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Overlay]]:
    """Makes containers, and ends them."""
    made: list[Overlay] = []
    image = make_image(tmp_path / "image")

    def make_one(*volumes: Path, layers: str = "plain", lower: Path = image) -> Overlay:
        made.append(Overlay(tmp_path / f"c{len(made)}", *volumes, layers=layers, lower=str(lower)))
        return made[-1]

    yield make_one
    for container in made:
        container.stop()


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watching() as made:
        yield made
