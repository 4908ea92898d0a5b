"""Containers in small, for file tests: a process in a mount namespace of its own, pivoted into an overlay.

All mounts are made in that namespace, and are gone with its processes.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outrider_sidecar.sensors.host.marks import FileMarks
from outrider_sidecar.sensors.host.queues import Bounds
from outrider_wire.errors import Unavailable
from outrider_wire.events import Event, FileChanged, FilesWatched, ProcessId, SightLost

DEADLINE_S = 20.0

_INSIDE = r"""
import ctypes, json, os, shutil, subprocess, sys, time
base, layers, *volumes = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def mount(source, target, kind, flags=0, options=None):
    kind, options = kind and kind.encode(), options and options.encode()
    check(libc.mount(source.encode(), target.encode(), kind, ctypes.c_ulong(flags), options))
check(libc.unshare(0x20000))
mount("none", "/", None, 0x44000)
if layers == "tmpfs":
    os.makedirs(base + "/t")
    mount("layers", base + "/t", "tmpfs")
    if os.fork():  # the mounter stays behind in the namespace that knows the upper directory
        os.wait()
        os._exit(0)
    check(libc.unshare(0x20000))
    base += "/t"
for name in ("upper", "work", "merged"):
    os.makedirs(f"{base}/{name}", exist_ok=True)
merged = base + "/merged"
mount("overlay", merged, "overlay", 0, f"lowerdir=LOWER_DIR,upperdir={base}/upper,workdir={base}/work")
os.chmod(merged, 0o755)
os.makedirs(merged + "/data", exist_ok=True)
mount("dev", merged + "/dev", "tmpfs")
os.makedirs(merged + "/dev/shm")
check(libc.mknod((merged + "/dev/null").encode(), 0o20666, os.makedev(1, 3)))
mount("shm", merged + "/dev/shm", "tmpfs")
mount("proc", merged + "/proc", "proc")
for number, volume in enumerate(volumes):
    target = f"{merged}/data/{number}"
    os.makedirs(target, exist_ok=True)
    mount(volume, target, None, 0x1000)
os.makedirs(merged + "/old", exist_ok=True)
if "-pivot" not in volumes:
    os.chdir(merged)
    check(libc.pivot_root(b".", b"."))
    check(libc.umount2(b".", 2))
os.chdir("/")
def sh(command):
    subprocess.run(["/bin/sh", "-c", command], check=False)
def put(path, text="x"):
    with open(path, "w") as file:
        file.write(text)
print("ready", os.getpid(), flush=True)
for line in sys.stdin:
    exec(compile(json.loads(line), "inside", "exec"))
    print("done", flush=True)
"""


def make_image(base: Path) -> Path:
    """A small image, to be the lower layer."""
    for name in ("usr/bin", "etc/cron.d", "opt", "tmp", "data", "dev", "proc", "old", "root"):
        (base / name).mkdir(parents=True)
    for name in ("usr/bin/tail", "usr/bin/head", "usr/bin/wc", "etc/hosts", "etc/services", "etc/issue", "etc/shadow"):
        (base / name).write_text("of the image")
    (base / "etc/cron.d/e2scrub_all").write_text("#")
    return base


class Overlay:
    """One container. `upper` is on the machine's own file system, or on a tmpfs that only its mounter sees."""

    def __init__(self, base: Path, *volumes: Path, layers: str = "plain", lower: str = "/") -> None:
        base.mkdir(parents=True, exist_ok=True)
        inside = _INSIDE.replace("LOWER_DIR", lower)
        command = [sys.executable, "-S", "-c", inside, str(base), layers, *map(str, volumes)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        said = self.process.stdout.readline().split()
        if said[:1] != ["ready"]:
            self.stop()
            pytest.skip("an overlay in a mount namespace of one's own cannot be had here")
        self.pid = int(said[1])
        self.mnt_ns = os.stat(f"/proc/{self.pid}/ns/mnt").st_ino

    def do(self, *lines: str) -> None:
        """Run Python in the container's process, and wait until it is done."""
        assert self.process.stdin is not None and self.process.stdout is not None
        for line in lines:
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "done\n", line

    def stop(self) -> None:
        """End it, and with it its mounts."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Watch:
    """FileMarks with a loop around it, as the lookout has it. `guards` says who is guarded: who is inside."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.marks = FileMarks(bounds=bounds) if bounds else FileMarks()
        self.events: list[Event] = []
        self.guards: Callable[[int], bool] = self._is_inside
        self._namespaces: set[int] = set()
        self.marks.open(lambda pid: ProcessId(pid, 1) if self.guards(pid) else None)
        self._poller = select.poll()
        for fd in self.marks.filenos():
            self._poller.register(fd, select.POLLIN)

    def add(self, container: Overlay, baseline_ns: int | None = None) -> None:
        """Mark a container, and look through its layers to the end."""
        self._namespaces.add(container.mnt_ns)
        self.marks.add_container(
            container.mnt_ns, container.pid, time.time_ns() if baseline_ns is None else baseline_ns
        )
        self.settle()

    def _is_inside(self, pid: int) -> bool:
        try:
            return os.stat(f"/proc/{pid}/ns/mnt").st_ino in self._namespaces
        except OSError:
            return False

    def settle(self) -> None:
        """Drain until nothing is left."""
        deadline = time.monotonic() + DEADLINE_S
        while self._poller.poll(0):
            assert time.monotonic() < deadline
            self.marks.drain(self.events.append)

    def tell(self, container: Overlay, *lines: str) -> list[tuple[str, str]]:
        """What is told of what a container does, as (change, path)."""
        self.settle()
        before = len(self.events)
        container.do(*lines)
        self.settle()
        told = self.events[before:]
        assert not [event for event in told if isinstance(event, SightLost)], told
        return [(e.change, e.file.path) for e in told if isinstance(e, FileChanged) and e.mnt_ns == container.mnt_ns]

    def changes(self, container: Overlay) -> list[FileChanged]:
        """Everything told of a container."""
        return [e for e in self.events if isinstance(e, FileChanged) and e.mnt_ns == container.mnt_ns]

    def watched(self, container: Overlay) -> FilesWatched:
        """The last that was said of how a container is watched."""
        return [e for e in self.events if isinstance(e, FilesWatched) and e.mnt_ns == container.mnt_ns][-1]


@contextmanager
def watching(bounds: Bounds | None = None) -> Iterator[Watch]:
    """A watch that is closed at the end."""
    try:
        watch = Watch(bounds)
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        yield watch
    finally:
        watch.marks.close()
