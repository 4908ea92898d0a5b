"""A container in small: a process in a mount namespace of its own, whose root is an overlay; and a watch on it."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from outrider_sidecar.sensors.files import FileSensor
from outrider_sidecar.sensors.files.scan import Bounds
from outrider_wire.events import Event, FileChanged, SightLost

DEADLINE_S = 15.0

INSIDE = r"""
import ctypes, mmap, os, sys
lower, upper, work, merged, *shared = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
check(libc.unshare(0x20000))
check(libc.mount(b"none", b"/", None, ctypes.c_ulong(0x44000), None))
options = f"lowerdir={lower},upperdir={upper},workdir={work}".encode()
check(libc.mount(b"overlay", merged.encode(), b"overlay", ctypes.c_ulong(0), options))
for path in shared:
    check(libc.mount(path.encode(), f"{merged}/home/me".encode(), None, ctypes.c_ulong(0x1000), None))
os.chdir(merged)
check(libc.pivot_root(b".", b"."))
check(libc.umount2(b".", 2))
os.chdir("/")
print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""

DIRECTORIES = ("usr/bin", "usr/lib", "etc/cron.d", "tmp", "var/tmp", "root", "home/me", "dev/shm", "run", "proc")


def wait_until(condition: Callable[[], object], *, what: str = "the condition") -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.002)


class Container:
    """One run of a container over the same layers; `start` again is a restart. `shared` is mounted at /home/me."""

    def __init__(self, base: Path, *shared: Path) -> None:
        self.shared = shared
        self.layers = [base / name for name in ("lower", "upper", "work", "merged")]
        for layer in self.layers:
            layer.mkdir()
        for name in DIRECTORIES:
            (self.layers[0] / name).mkdir(parents=True, exist_ok=True)
        (self.layers[0] / "bin").symlink_to("usr/bin")
        (self.layers[0] / "lib").symlink_to("/usr/lib")
        shutil.copy2("/bin/true", self.layers[0] / "usr/bin/true")
        (self.layers[0] / "usr/bin/tool").write_text("#!/bin/sh\n")
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", INSIDE, *map(str, (*self.layers, *self.shared))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            self.stop()
            pytest.skip("mounting an overlay in a mount namespace of one's own is not allowed here")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def mnt_ns(self) -> int:
        return os.stat(f"/proc/{self.pid}/ns/mnt").st_ino

    def do(self, line: str) -> None:
        """Run one line of Python inside."""
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def path(self, inside: str) -> Path:
        """The same path from outside, for names that no link leads to."""
        return Path(f"/proc/{self.pid}/root{inside}")


class Seen:
    """What a running sensor told."""

    def __init__(self, sensor: FileSensor) -> None:
        self.sensor = sensor
        self.events: list[Event] = []
        self.unmounted: list[int] = []
        self.scanned: list[tuple[int, int, int]] = []

    @property
    def changes(self) -> list[FileChanged]:
        return [event for event in self.events if isinstance(event, FileChanged)]

    @property
    def losses(self) -> list[SightLost]:
        return [event for event in self.events if isinstance(event, SightLost)]

    def of(self, path: str) -> list[FileChanged]:
        return [event for event in self.changes if event.file.path == path]

    def said(self, path: str) -> list[str]:
        """The changes told of one path, in order."""
        return [event.change for event in self.of(path)]

    def settle(self) -> None:
        wait_until(self.sensor.settled, what="the scan's end")

    def catch_up(self) -> None:
        """Wait until everything that happened before is told, and all new directories are visited."""
        wait_until(lambda: self.sensor.caught_up() and self.sensor.settled(), what="catching up")

    def wait_for(self, path: str, change: str) -> FileChanged:
        wait_until(lambda: change in self.said(path), what=f"{change} of {path}")
        return next(event for event in self.of(path) if event.change == change)


@contextmanager
def running(sensor: FileSensor) -> Iterator[Seen]:
    """A sensor in its thread."""
    seen, stop = Seen(sensor), threading.Event()
    thread = threading.Thread(target=sensor.run, args=(seen.events.append, stop))
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        sensor.wake()
        thread.join()
        sensor.close()


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Make and start a container; its end comes with the test's. The argument is a directory to share."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make a mount namespace with an overlay")
    made: list[Container] = []

    def make(*shared: Path) -> Container:
        base = tmp_path / f"container{len(made)}"
        base.mkdir()
        made.append(Container(base, *shared))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def container(build: Callable[..., Container]) -> Container:
    return build()


@pytest.fixture
def watch() -> Iterator[Callable[..., Seen]]:
    """Start a sensor; keywords are Bounds' and `pids_of`. It ends with the test."""
    with ExitStack() as stack:

        def start(*, pids_of: Callable[[int], list[int]] = lambda _: [], **bounds: int) -> Seen:
            unmounted: list[int] = []
            scanned: list[tuple[int, int, int]] = []
            sensor = FileSensor(
                on_unmount=unmounted.append,
                on_scanned=lambda *facts: scanned.append(facts),
                pids_of=pids_of,
                bounds=Bounds(**bounds),
            )
            seen = stack.enter_context(running(sensor))
            seen.unmounted, seen.scanned = unmounted, scanned
            return seen

        yield start


@pytest.fixture
def guarded(container: Container, watch: Callable[..., Seen]) -> tuple[Container, Seen]:
    """A container whose files are watched from just after its start."""
    seen = watch()
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=time.time_ns())
    seen.settle()
    return container, seen
